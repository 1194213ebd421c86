/**
 * BullMQ, whose jobs have no steps: a job's end is heard from its worker, which is the shortest way to
 * it in the process that has the worker.
 */
const { Queue, Worker } = require("bullmq");

exports.open = async ({ host, port }) => {
  const name = "jobs";
  // As its guide asks for: a worker is never to give up on a command.
  const connection = { host, port, maxRetriesPerRequest: null };
  const queue = new Queue(name, { connection: { host, port } });
  const worker = new Worker(name, () => Promise.resolve(0), { connection, concurrency: 100 });
  await Promise.all([queue.waitUntilReady(), worker.waitUntilReady()]);

  const results = new Map();
  const resultOf = (id) => {
    const known = results.get(id) ?? Promise.withResolvers();
    results.set(id, known);
    return known;
  };
  worker.on("completed", (job, result) => resultOf(job.id).resolve(result));
  worker.on("failed", (job, error) => resultOf(job?.id).reject(error));
  return {
    steps: async (count, ballast) => {
      if (count !== 0) throw new Error("a job has no steps");
      const { id } = await queue.add("job", { count, ballast });
      const result = await resultOf(id).promise;
      results.delete(id);
      return result;
    },
    performed: () => 0,
    completed: () => queue.getCompletedCount(),
    close: async () => {
      await worker.close();
      await queue.close();
    },
  };
};
