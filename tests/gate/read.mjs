// Reads documents as an API in Node.js would; the same in and out as `read.py`.

import { readFileSync } from "node:fs";

const KINDS = ["permission", "events", "attributes", "tags"];

function step(value, token) {
  if (Array.isArray(value)) {
    if (token === "*") return value;
    if (/^(0|[1-9][0-9]*)$/.test(token)) return value.slice(Number(token)).slice(0, 1);
    return [];
  }
  return isObject(value) && Object.hasOwn(value, token) ? [value[token]] : [];
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function tokens(pointer) {
  const parts = pointer.split("/").slice(1);
  return parts.map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function find(document, pointer) {
  const into = (values, token) => values.flatMap((value) => step(value, token));
  return tokens(pointer).reduce(into, [document]);
}

/** Whether another rule looks at this member of what a pointer finds. */
function judged(rules, pointer, name) {
  const member = [...tokens(pointer), name];
  return Object.values(rules).flat().map(tokens).some((other) =>
    other.length >= member.length &&
    member.every((token, at) => token === other[at]) &&
    other.slice(member.length).every((token) => token === "*"));
}

function read(document, rules) {
  const found = { permission: [], events: [], attributes: [], tags: [] };
  for (const kind of ["permission", "events"])
    for (const pointer of rules[kind] ?? []) found[kind].push(...find(document, pointer));
  for (const pointer of rules.tags ?? [])
    for (const value of find(document, pointer))
      found.tags.push(...(Array.isArray(value) ? value : [value]));
  for (const pointer of rules.attributes ?? [])
    for (const value of find(document, pointer)) {
      const names = isObject(value) ? Object.keys(value) : [null];
      found.attributes.push(...names.filter((name) => !judged(rules, pointer, name)));
    }
  const entries = KINDS.map((kind) => `"${kind}":[${found[kind].map(shown).sort().join(",")}]`);
  return `{${entries.join(",")}}`;
}

/** In ASCII, as Python writes it. */
function shown(value) {
  if (typeof value !== "string") return "null";
  const escape = (unit) => "\\u" + unit.charCodeAt(0).toString(16).padStart(4, "0");
  return JSON.stringify(value).replace(/[\u007f-\uffff]/g, escape);
}

function answer(line, allRules) {
  let document;
  try {
    document = JSON.parse(Buffer.from(line, "hex").toString("utf8"));
  } catch {
    return allRules.map(() => "null").join("\t");
  }
  return allRules.map((rules) => read(document, rules)).join("\t");
}

const [rules, ...documents] = readFileSync(0, "utf8").trimEnd().split("\n");
const allRules = JSON.parse(rules);
process.stdout.write(documents.map((line) => answer(line, allRules) + "\n").join(""));
