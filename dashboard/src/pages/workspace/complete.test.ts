import { expect, test } from "vitest";

import type { ListedExperiment } from "../../api/types";
import { completions, type Known, KnownNames } from "./complete";

const KNOWN: Known = {
  params: new Map([["lr", ["0.1", "0.01"]], ["opt.name", ["adam", "sgd"]]]),
  metrics: [{ name: "val", fields: ["acc", "loss"] }, { name: "odd name", fields: ["x"] }],
  tags: ["baseline", "two words"],
};

/** What is offered where the bar stands. */
function offered(text: string): string[] {
  const caret = text.indexOf("|");
  return completions(text.replace("|", ""), caret, KNOWN).map((each) => each.label);
}

test("names are offered as they are typed, of parameters, metrics and what every run has", () => {
  expect(offered("l|")).toContain("params.lr");
  expect(offered("val|")).toEqual(expect.arrayContaining(["val/acc", "max(val/acc)", "min(val/loss)"]));
  expect(offered("sta|")).toEqual(expect.arrayContaining(["status:", "started>"]));
  expect(offered("max(val/a|")).toEqual(["max(val/acc)"]);
  expect(offered("max(odd|")).toEqual(['max("odd name/x")']);
});

test("what can be asked of a metric is offered as it is typed, and then the metrics", () => {
  expect(offered("la|")[0]).toBe("last(");
  expect(completions("tag:x la", 8, KNOWN)[0]).toMatchObject({ text: "tag:x last(", caret: 11 });
  expect(offered("last(|")).toEqual(["last(val/acc)", "last(val/loss)", 'last("odd name/x")']);
  expect(offered("me|")).toContain("mean(");
  expect(offered("most(val|")).toEqual([]);
  expect(offered("l|")[0]).toBe("params.lr");
});

test("behind an operator values are offered", () => {
  expect(offered("status:f|")).toContain("status:failed");
  expect(offered("tag:two|")).toEqual(['tag:"two words"']);
  expect(offered("params.opt.name=|")).toEqual(["params.opt.name=adam", "params.opt.name=sgd"]);
  expect(offered("val/acc>|")).toEqual([]);
});

test("only the part at the caret is replaced, and the caret stands behind it", () => {
  const [first] = completions("lr<1 stat tag:x", 9, KNOWN);
  expect(first).toMatchObject({ text: "lr<1 status: tag:x", caret: 12 });
});

test("names stay known while an unfinished filter leaves all runs out, and are forgotten in another folder", () => {
  const run = { tags: ["old"], params: { lr: 0.1, "opt.name": "a b" } } as unknown as ListedExperiment;
  const names = new KnownNames();
  names.learn("vision", [run], [{ name: "val", fields: ["acc"] }]);
  expect(names.learn("vision", [], [])).toEqual({
    params: new Map([["lr", ["0.1"]], ["opt.name", ['"a b"']]]),
    metrics: [{ name: "val", fields: ["acc"] }],
    tags: ["old"],
  });
  expect(names.learn("audio", [], [])).toEqual({ params: new Map(), metrics: [], tags: [] });
});
