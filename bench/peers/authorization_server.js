// Fixed responses of the authorization server and the gRPC app. A token is inactive if it is missing, empty, begins with "inactive", or has a character
// that no token of the benchmark has, such as the blank of "Bearer TOKEN".
const ACTIVE = JSON.stringify({
  active: true,
  sub: "user-client-opaque",
  scope: "country.read",
  client_id: "user-client-opaque",
  token_type: "Bearer",
  exp: 4102444800,
});
const INACTIVE = JSON.stringify({active: false});
const TOKEN = /(^|&)token=(?!inactive)[A-Za-z0-9_-]+(&|$)/;

// The response of the gRPC app: as long as a short message with its prefix.
const MESSAGE = "x".repeat(32);

function introspect(r) {
  r.headersOut["Content-Type"] = "application/json";
  r.return(200, TOKEN.test(r.requestText || "") ? ACTIVE : INACTIVE);
}

function call(r) {
  r.headersOut["Content-Type"] = "application/grpc";
  r.return(200, MESSAGE);
}

export default {call, introspect};
