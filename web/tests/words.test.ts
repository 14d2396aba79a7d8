/** The page's words: the languages say the same things, and nothing is left empty. */

import { describe, expect, test } from "vitest";
import { fill, wordsOf } from "../src/words";
import { en } from "../src/words/en";
import { zh } from "../src/words/zh";

/** Every text with the way to it. */
function texts(words: unknown, path = ""): Map<string, string> {
  if (typeof words === "string") return new Map([[path, words]]);
  const inner = Object.entries(words as object).flatMap(([key, value]) => [...texts(value, path ? `${path}.${key}` : key)]);
  return new Map(inner);
}
const placeholders = (text: string) => [...text.matchAll(/\{\w+\}/g)].map(([name]) => name).sort();

const [english, chinese] = [texts(en), texts(zh)];

test("both languages have the same keys", () => {
  expect([...chinese.keys()].sort()).toEqual([...english.keys()].sort());
});

test("both languages put the same values into each text", () => {
  const differing = [...english].filter(
    ([key, text]) => String(placeholders(text)) !== String(placeholders(chinese.get(key) ?? "")),
  );
  expect(differing).toEqual([]);
});

describe.each([["en", english], ["zh", chinese]] as const)("%s", (language, all) => {
  test("has no empty text", () => {
    expect([...all].filter(([, text]) => !text.trim())).toEqual([]);
    expect(all.size).toBeGreaterThan(100);
  });
  test("is the page's", () => {
    expect(texts(wordsOf(language))).toEqual(all);
  });
});

test("the keys that are pressed are the same in both languages", () => {
  expect(zh.keys.list.map(([keys]) => keys)).toEqual(en.keys.list.map(([keys]) => keys));
});

test("texts in Chinese are in Chinese", () => {
  // Names of things that are written in Latin letters in Chinese texts, too.
  const latin = [...chinese].filter(([key, text]) => !/\p{Script=Han}/u.test(text) && english.get(key) === text);
  const words = latin.filter(([, text]) => /[a-z]{4}/i.test(text.replace(/\{\w+\}/g, ""))).map(([key]) => key);
  expect(words.filter((key) => !["brand", "nav.language", "classes.logit"].includes(key) && !key.startsWith("keys.list"))).toEqual([]);
});

test("values go into their places once, and what has no value stays to be seen", () => {
  expect(fill("{a} of {b}, {a}", { a: 1, b: "{a}" })).toBe("1 of {a}, 1");
  expect(fill("{a}", { a: "$& $1" })).toBe("$& $1");
  expect(fill("{a} {missing}", { a: 0 })).toBe("0 {missing}");
  expect(fill("", {})).toBe("");
});
