import { expect, test } from "vitest";

import { paramRows, paramTree } from "./tree";

const tree = paramTree({ "model.layers.10": 1, "model.layers.9": 2, lr: 0.1, "model.name": "Res Net", model: "m", ".odd": 3, "": 4 });
const shown = (folded: string[] = [], search = ""): string[] =>
  paramRows(tree, new Set(folded), search).map(({ node, depth }) => `${" ".repeat(depth)}${node.name}`);

test("parameters are a tree by the parts of their names, as people count, and none is lost", () => {
  expect(shown()).toEqual(["", " odd", "lr", "model", " layers", "  9", "  10", " name"]);
  const model = tree.find((node) => node.name === "model")!;
  expect([model.isSet, model.value, model.count]).toEqual([true, "m", 4]);
  const [odd] = tree;
  expect([odd!.value, odd!.children[0]!.value, odd!.children[0]!.path]).toEqual([4, 3, ".odd"]);
});

test("what is folded is out of sight", () => {
  expect(shown(["model.layers"])).toEqual(["", " odd", "lr", "model", " layers", " name"]);
  expect(shown(["model"])).toEqual(["", " odd", "lr", "model"]);
});

test("a search shows what has all words in its name or value, with what it is in, folded or not", () => {
  expect(shown(["model"], "layers 10")).toEqual(["model", " layers", "  10"]);
  expect(shown([], "res net")).toEqual(["model", " name"]);
  expect(shown([], "0.1")).toEqual(["lr"]);
  expect(shown([], "nothing")).toEqual([]);
});
