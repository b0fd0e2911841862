import { expect, test, vi } from "vitest";

vi.stubGlobal("location", { pathname: "/", search: "" });
vi.stubGlobal("window", { addEventListener: () => undefined });
const { conditionOf, meets, namesOf, problemOf } = await import("./conditions");
const { parseFilter } = await import("./filter");
type Known = Parameters<typeof meets>[2] & object;
type Record_ = Parameters<typeof meets>[1];

const METRICS = [
  { name: "train", fields: ["loss", "accuracy"] },
  { name: "eval", fields: ["accuracy"] },
  { name: null, fields: ["reward", "a/b"] },
];

function record(change: Partial<Record_> = {}): Record_ {
  return {
    id: "1", prefix: "a/p/x", name: "x", tags: ["base"], readme: null, status: "RUNNING", stale: false, rows: 10, attempts: 1,
    startedAt: "2026-01-31T12:00:00.000000Z", endedAt: "2026-01-31T12:10:00.000000Z", ...change,
  } as Record_;
}

function known(params: Record<string, unknown>, values: [string, unknown][] = []): Known {
  return { rows: 10, params, metrics: METRICS, values: new Map(values) };
}

const KNOWN = known({ lr: 0.1, opt: "adam", "model.layers": 3, big: 9007199254740993n, odd: Infinity }, [
  ["m:train/loss", 0.5],
  ["m:/reward", 7],
]);
const NAMES = namesOf(new Map([["1", KNOWN]]));

function condition(text: string): ReturnType<typeof conditionOf> {
  return conditionOf(parseFilter(text).comparisons[0]!, NAMES);
}

function problem(text: string): string | null {
  return problemOf(condition(text), [record()], new Map([["1", KNOWN]]), true)?.message ?? null;
}

test.each([
  ["lr < 1", "p:lr"],
  ["LR < 1", "p:lr"],
  ["params.lr < 1", "p:lr"],
  ["model.layers = 3", "p:model.layers"],
  ["model/layers = 3", "p:model.layers"],
  ["status = running", "status"],
  ["tag:x", "tags"],
  ["train/loss < 1", "m:train/loss"],
  ["train.loss < 1", "m:train/loss"],
  ["metrics.train.loss < 1", "m:train/loss"],
  ["metrics.loss < 1", "m:train/loss"],
  ["loss < 1", "m:train/loss"],
  ["reward > 1", "m:/reward"],
  ["metric.reward > 1", "m:/reward"],
  ["a/b > 1", "m:/a%2Fb"],
  ["eval/accuracy > 1", "m:eval/accuracy"],
  ["last(eval/accuracy) > 1", "m:eval/accuracy"],
  ["last(summary.loss) > 1", "m:train/loss"],
  ["lr = *", "p:lr"],
])("%s is about the column %s", (text, key) => {
  expect(condition(text).column?.key).toBe(key);
  expect(problem(text)).toBeNull();
});

test.each(["max(train/loss) > 1", "0.9 < mean(loss)", "best(x) = 1", "note:odd", "readme != *"])(
  "%s is asked of the server",
  (text) => {
    const whole = `lr < 1 ${text}`;
    const found = conditionOf(parseFilter(whole).comparisons[1]!, NAMES, whole);
    expect(found).toMatchObject({ asks: text, column: null, problem: null });
    expect(meets(found, record(), KNOWN, 0)).toBe(true);
  },
);

test("a parameter comes before what it is called like", () => {
  const names = namesOf(new Map([["1", known({ status: 1, loss: 2, "train/loss": 3, "metrics.loss": 4 })]]));
  for (const name of ["status", "loss", "train/loss", "metrics.loss"]) {
    expect(conditionOf(parseFilter(`${name} < 1`).comparisons[0]!, names).column?.key).toBe(`p:${name}`);
  }
});

test("what nothing has is asked for as what it looks like, until all is read", () => {
  const names = namesOf(new Map());
  for (const [text, key] of [["lr < 1", "p:lr"], ["train/loss < 1", "m:train/loss"]] as const) {
    const found = conditionOf(parseFilter(text).comparisons[0]!, names);
    expect(found.column?.key).toBe(key);
    expect(problemOf(found, [], new Map(), false)).toBeNull();
    expect(problemOf(found, [], new Map(), true)?.message).toContain("no experiment has");
  }
});

test.each([
  ["nothing < 1", "‘nothing’"],
  ["accuracy > 1", "train/accuracy, eval/accuracy"],
  ["lr < abc", "‘abc’ is not one"],
  ["lr = 1,000", "‘1,000’ is not one"],
  ["rows > many", "‘many’ is not one"],
  ["status = runing", "completed"],
  ["status > running", "= or !="],
  ["tag < x", "= or !="],
  ["started > yesterday", "2026-01-31"],
  ["started > 2026-13-01", "2026-01-31"],
  ["note > x", "= or !="],
  ["ended > soon", "2026-01-31"],
  ["duration > long", "90s"],
])("%s is told, with what is meant by it", (text, part) => {
  expect(problem(text)).toContain(part);
  const { start, stop } = problemOf(condition(`x ${text}`), [record()], new Map([["1", KNOWN]]), true)!;
  expect(`x ${text}`.slice(start, stop)).toBe(text);
});

test.each([
  ["lr < 1", true],
  ["odd = Infinity", true],
  ["odd = inf", true],
  ["odd > 1e300", true],
  ["odd = -inf", false],
  ["lr < inf", true],
  ["lr = nan", false],
  ["big = 9007199254740993", true],
  ["big = 9007199254740992", false],
  ["opt = 'Adam'", true],
  ["started = 2026-01-31", true],
  ["started > 2026-01-31", false],
  ["started >= 2026", true],
  ["started < '2026-01-31 12:30'", true],
  ["duration = 10min", true],
  ["duration < 0.5h", true],
  ["duration < 60", false],
  ["status = running", true],
  ["status != 'not started'", true],
  ["opt = ad*", true],
  ["opt != *", false],
  ["train/loss = *", true],
  ["started = *", true],
  ["tag = b*", true],
  ["prefix = a/p/x", true],
  ["prefix = a/p*", true],
  ["attempts > 0", true],
  ["ended >= 2026-01-31T12:10", true],
])("%s holds: %s", (text, expected) => {
  expect(problem(text)).toBeNull();
  expect(meets(condition(text), record(), KNOWN, 0)).toBe(expected);
});
