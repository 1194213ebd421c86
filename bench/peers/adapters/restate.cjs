/**
 * Restate: services in this process, which its server calls over HTTP/2, and its client for the
 * server's HTTP ingress, both with their own defaults.
 */
const { createServer } = require("node:http2");
const restate = require("@restatedev/restate-sdk");
const clients = require("@restatedev/restate-sdk-clients");

const asked = async (url, body) => {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json" },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  return await response.json();
};

exports.open = async ({ admin, ingress }) => {
  let performed = 0;
  let milestones;
  let waiting;
  const bench = restate.service({
    name: "bench",
    handlers: {
      steps: async (context, { count }) => {
        let sum = 0;
        for (let i = 1; i <= count; i++) {
          sum += await context.run(`step-${i}`, () => {
            performed++;
            return i;
          });
        }
        return sum;
      },
      wait: async (context) => {
        const { id, promise } = context.awakeable();
        waiting(id);
        milestones.parked();
        const value = await promise;
        milestones.resumed();
        return value;
      },
    },
  });
  const server = createServer(
    restate.createEndpointHandler({ services: [bench], logger: () => {} }),
  );
  const sessions = new Set();
  server.on("session", (session) => sessions.add(session));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  await asked(`${admin}/deployments`, { uri: `http://127.0.0.1:${server.address().port}` });

  const client = clients.connect({ url: ingress });
  const service = client.serviceClient({ name: "bench" });
  return {
    steps: (count, ballast) => service.steps({ count, ballast }),
    wait: async (given) => {
      milestones = given;
      const known = Promise.withResolvers();
      waiting = known.resolve;
      const result = service.wait();
      const id = await known.promise;
      return { send: () => client.resolveAwakeable(id, 1), result };
    },
    performed: () => performed,
    completed: async () => {
      const { rows } = await asked(`${admin}/query`, {
        query: "select count(*) as ended from sys_invocation where status = 'completed'",
      });
      return Number(rows[0].ended);
    },
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const session of sessions) session.destroy();
      await closed;
    },
  };
};
