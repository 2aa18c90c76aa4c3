// A job queue on PostgreSQL with jobs that do nothing: node peers.cjs NAME ADDRESS RATE SECONDS, in a folder with both
// installed. Adds RATE jobs a second for SECONDS, and prints how many were done, and how late they began.
const { createRequire } = require("node:module");
const path = require("node:path");
const load = createRequire(path.join(process.cwd(), "x.js"));

const [name, address, rate, seconds] = [process.argv[2], process.argv[3], Number(process.argv[4]), Number(process.argv[5])];
// Batches of 50 a second: timers of node are no finer.
const BATCHES = 50;
const late = [];
const note = (at) => late.push(Date.now() - at);

const queues = {
  async "graphile-worker"() {
    const { run, makeWorkerUtils, Logger } = load("graphile-worker");
    const logger = new Logger(() => () => {});
    const options = { connectionString: address, logger };
    const utils = await makeWorkerUtils(options);
    await utils.migrate();
    const runner = await run({
      ...options, concurrency: 64, pollInterval: 1000, noHandleSignals: true,
      taskList: { nothing: async ({ at }) => note(at) },
    });
    return {
      add: (count, at) => utils.addJobs(Array.from({ length: count }, () => ({ identifier: "nothing", payload: { at } }))),
      stop: async () => { await runner.stop(); await utils.release(); },
    };
  },
  async "pg-boss"() {
    const module = load("pg-boss");
    const PgBoss = module.default ?? module;
    const boss = new PgBoss(address);
    boss.on("error", (error) => { throw error; });
    await boss.start();
    await boss.createQueue("nothing");
    await boss.work("nothing", { batchSize: 1000, pollingIntervalSeconds: 0.5 }, async (jobs) => jobs.forEach((job) => note(job.data.at)));
    return {
      add: (count, at) => boss.insert(Array.from({ length: count }, () => ({ name: "nothing", data: { at } }))),
      stop: () => boss.stop({ graceful: false }),
    };
  },
};

async function main() {
  const queue = await queues[name]();
  const wait = (time) => new Promise((done) => setTimeout(done, time));
  const begun = Date.now();
  const before = process.cpuUsage();
  for (let batch = 0; batch < seconds * BATCHES; batch++) {
    const at = begun + (batch * 1000) / BATCHES;
    if (at > Date.now()) await wait(at - Date.now());
    await queue.add(rate / BATCHES, at);
  }
  // What is still in the queue afterwards counts for its lateness.
  for (let tries = 0; late.length < rate * seconds && tries < 600; tries++) await wait(100);
  const time = (Date.now() - begun) / 1000;
  const usage = process.cpuUsage(before);
  await queue.stop();
  late.sort((a, b) => a - b);
  const version = load(`${name}/package.json`).version;
  const rank = (share) => late[Math.min(late.length - 1, Math.floor(late.length * share))] ?? NaN;
  const processor = (usage.user + usage.system) / 1e4 / time;
  console.log(JSON.stringify({ version, done: late.length, seconds: time, p50: rank(0.5), p99: rank(0.99), processor }));
  process.exit(0);
}

main().catch((error) => { console.error(error); process.exit(1); });
