function introspect(r) {
  if (!r.variables.token) {
    r.return(401);
    return;
  }
  r.subrequest("/_introspect", function (reply) {
    if (reply.status != 200) {
      r.return(401);
      return;
    }
    r.return(JSON.parse(reply.responseText).active ? 204 : 403);
  });
}

export default {introspect};
