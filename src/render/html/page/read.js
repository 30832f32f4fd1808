// Lists a plan's entries: reads them piece by piece, filters and groups them in slices of time, and
// has only those rows in the document that are on the screen. Values become text, never markup.
// The files of this folder are one module, in the order in which html.rs names them.
const LINES = 6;           // changed columns of a closed row
const SHORT = 240;         // characters of a value in a closed row
const LONG = 1500;         // and in an open one, before "show all"
const PARTS = 3;           // parts of long values that differ, in a closed row
const KEY = 4000;          // characters of a key, which is longer than an index can hold
const SLICE = 10;          // milliseconds of work before others have their turn
const AROUND = 300;        // px of rows above and below the screen
const PRINTED = 300;       // rows on paper

const $ = (id) => document.getElementById(id);
const list = $("list"), state = $("state"), search = $("search"), tools = $("tools"), grouped = $("grouped"), unusual = $("unusual");
const selects = { table: $("table"), column: $("column"), group: $("group"), kind: $("kind"), decided: $("decided") };
const toggles = [...document.querySelectorAll("[data-toggle]")];
const ACTIONS = toggles.map((t) => t.name);
const SIGNS = toggles.map((t) => t.querySelector(".sign").textContent);
const narrow = matchMedia("(max-width: 44rem)");
const number = new Intl.NumberFormat("en").format;

const rows = [];
let names = { plan: "", batch: "", tables: [], widths: [], columns: [], objects: [], groups: [], left: [] };
let items = [];            // what the filters leave: { row, alike, open, height }, rows by index
let tops = new Float64Array(1);
let current = -1;
let turn = 0;
const shown = new Map();   // item number to its element

const make = (tag, name, text) => {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  return element;
};

// Lets the browser do what it has to, then goes on.
const channel = new MessageChannel();
const waiting = [];
channel.port1.onmessage = () => waiting.shift()();
const pause = () => new Promise((go) => { waiting.push(go); channel.port2.postMessage(0); });
let began = 0;
const due = () => performance.now() - began > SLICE;
const rest = async () => { await pause(); began = performance.now(); };

function searchable(row) {
  const parts = row.k.map((k) => k[1]);
  for (const v of row.v || []) parts.push(v[1]);
  for (const s of row.s || []) parts.push(s[1], s[2]);
  for (const r of row.r || []) parts.push(r[1]);
  parts.push(...(row.u || []), names.groups[row.b]);
  if (row.violation) parts.push(row.violation.kind, row.violation.old, row.violation.given, row.violation.why);
  for (const [object, at] of row.f) parts.push(at === null ? names.objects[object] : names.objects[object] + "#" + at);
  return parts.filter((p) => p).join("\n").toLowerCase();
}

async function read() {
  began = performance.now();
  names = JSON.parse($("names").textContent);
  const pieces = document.querySelectorAll("script.rows");
  let outliers = 0;
  for (let i = 0; i < pieces.length; i++) {
    for (const row of JSON.parse(pieces[i].textContent)) {
      row.text = searchable(row);
      row.length = lengthOf(row);
      row.record = row.a < SKIP && !$("decisions").hidden ? recordOf(row) : null;
      rows.push(row);
      if (row.u) outliers++;
      if (row.violation) kinds.add(row.violation.kind);
      for (const column of columnsOf(row)) (columnsOfTable[row.t] ||= new Set()).add(column);
    }
    if (due()) {
      state.textContent = `Reading… ${Math.round((100 * i) / pieces.length)} %`;
      await rest();
    }
  }
  offer();
  unusual.parentElement.hidden = outliers === 0;
  for (const [table, action, n] of names.left) {
    const word = ACTIONS[action] + (n === 1 ? "" : "s");
    $("left").append(make("li", "", `${number(n)} ${word} of ${names.tables[table]} are not on this page; `
      + `loader show --table ${names.tables[table]} --action ${ACTIONS[action]} --all lists them.`));
  }
}
