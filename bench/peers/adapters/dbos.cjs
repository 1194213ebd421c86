/** DBOS Transact, called in the process that runs its workflows, with its own defaults. */
const { DBOS } = require("@dbos-inc/dbos-sdk");
const { Client } = require("pg");

exports.open = async ({ url }) => {
  let performed = 0;
  let milestones;
  const steps = DBOS.registerWorkflow(async (count, _ballast) => {
    let sum = 0;
    for (let i = 1; i <= count; i++) {
      sum += await DBOS.runStep(() => {
        performed++;
        return Promise.resolve(i);
      }, { name: `step-${i}` });
    }
    return sum;
  }, { name: "steps" });
  const waiter = DBOS.registerWorkflow(async () => {
    milestones.parked();
    const value = await DBOS.recv("go");
    milestones.resumed();
    return value;
  }, { name: "waiter" });

  DBOS.setConfig({ name: "peers", systemDatabaseUrl: url, logLevel: "error" });
  await DBOS.launch();
  const database = new Client(url);
  await database.connect();
  return {
    steps: (count, ballast) => steps(count, ballast),
    wait: async (given) => {
      milestones = given;
      const handle = await DBOS.startWorkflow(waiter)();
      const { workflowID } = handle;
      return { send: () => DBOS.send(workflowID, 1, "go"), result: handle.getResult() };
    },
    performed: () => performed,
    completed: async () => {
      // What is sent from outside a workflow is recorded as a workflow of its own.
      const { rows } = await database.query(
        `select count(*) from dbos.workflow_status
         where status = 'SUCCESS' and name in ('steps', 'waiter')`,
      );
      return Number(rows[0].count);
    },
    close: async () => {
      await database.end();
      await DBOS.shutdown();
    },
  };
};
