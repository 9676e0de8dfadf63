// oidc-provider with two clients of the country app and one that introspects: node server.mjs PORT
import Provider from 'oidc-provider';

const port = Number(process.argv[2]);
const issuer = `http://localhost:${port}`;
const scopes = ['country.read', 'country.write'];
const confidential = { redirect_uris: [], response_types: [], grant_types: ['client_credentials'] };

const provider = new Provider(issuer, {
  scopes,
  clients: [
    { client_id: 'country-client', client_secret: 'country-client-secret', scope: scopes.join(' '), ...confidential },
    { client_id: 'enforcer', client_secret: 'enforcer-secret', ...confidential },
    {
      client_id: 'enforcer-with-a-key',
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_signing_alg: 'ES256',
      jwks: { keys: [{ ...JSON.parse(process.env.ENFORCER_CLIENT_JWK), use: 'sig' }] },
      ...confidential,
    },
  ],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    jwtIntrospection: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      // A token for a resource is a JWT (RFC 9068); a token without a resource is opaque.
      getResourceServerInfo: () => ({
        scope: scopes.join(' '),
        audience: 'https://countries.example',
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
});

provider.listen(port, '127.0.0.1');
