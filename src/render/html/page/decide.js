// What is decided of a record, and kept in the browser under the plan's hash. Entries that have table,
// key and origin in common are of one record, and are decided together.

const records = new Map();  // by what names them: { rows, decision, comment }
const tally = { accept: 0, leave_out: 0, question: 0 };
const CHOICES = { accept: "Accept", leave_out: "Leave out", question: "Question" };
const KEYS = { a: "accept", l: "leave_out", q: "question" };
const reviewer = $("reviewer"), toldOf = $("told");
let elsewhere = [];         // decisions on entries that are not on this page, as a file had them
let unseen = [];            // and as another page of this plan kept them
let keeping = 0;

const store = () => "table-loader-decisions/1 " + names.plan;

// What names a row's record, as the plan has it; of a sensitive key, with so many digits that no two records have one name.
function aboutOf(row) {
  const key = Object.fromEntries(row.k.map(([column, v]) => [names.columns[column], v]));
  return { table: names.tables[row.t], key, from: row.f.map(origin), ...row.about };
}

function named({ table, key, from }) {
  return JSON.stringify([table, Object.entries(key).sort(([a], [b]) => (a < b ? -1 : 1)), from || []]);
}

// The records by names in which stand-ins have only the digits that are seen, as earlier versions wrote them; null where
// several have one.
function recordsAsSeen() {
  const found = new Map();
  for (const [name, record] of records) {
    const seen = name.replace(/(•••[0-9a-f]{6})[0-9a-f]{10}(?![0-9a-f])/g, "$1");
    if (seen !== name) found.set(seen, found.has(seen) ? null : record);
  }
  return found;
}

// While rows are read.
function recordOf(row) {
  const name = named(aboutOf(row));
  let record = records.get(name);
  if (!record) records.set(name, (record = { rows: [], decision: "", comment: "" }));
  record.rows.push(rows.length);
  return record;
}

// Without those that are only written about.
const unseenMarks = () => unseen.filter((mark) => mark[1]).length;

const decisionOf = (row) => (row.record && row.record.decision) || "none";

function set(record, decision, comment) {
  if (record.decision) tally[record.decision]--;
  if (decision) tally[decision]++;
  record.decision = decision;
  record.comment = comment;
}

// The records of a row, or of all that stand as one with it.
const recordsOf = (item) => new Set(membersOf(item).map((i) => rows[i].record));

function common(item, what) {
  let found;
  for (const record of recordsOf(item)) {
    if (found === undefined) found = record[what];
    else if (found !== record[what]) return null;
  }
  return found;
}

// Marks a row; the mark that it has already is taken away, and what was written about it stays.
function decide(i, decision) {
  const item = items[i];
  const fresh = common(item, "decision") === decision ? "" : decision;
  for (const record of recordsOf(item)) set(record, fresh, record.comment);
  changed();
  replace(i);
  // Other rows on the screen may be of the same record.
  const touched = recordsOf(item);
  for (const [j, element] of [...shown]) if (j !== i && touched.has(rowOf(element.item).record)) replace(j);
}

function buttons(item, reached) {
  const group = make("div", "decide");
  group.role = "group";
  group.ariaLabel = "Decision";
  const decision = common(item, "decision");
  for (const [value, word] of Object.entries(CHOICES)) {
    const button = make("button", value, word);
    button.type = "button";
    button.dataset.does = value;
    button.ariaPressed = String(decision === value);
    button.tabIndex = reached ? 0 : -1;
    if (item.alike) button.title = `${word}: all ${number(item.alike.length + 1)}`;
    group.append(button);
  }
  return group;
}

// The comment; in an open row it can be written.
function remarks(element, item, open) {
  const row = rowOf(item);
  if (!row.record) return;
  const text = common(item, "comment");
  if (!open) {
    if (text) element.append(make("p", "remark", text));
    return;
  }
  const label = make("label", "comment", "Comment ");
  const area = label.appendChild(make("textarea"));
  area.rows = 2;
  area.maxLength = 4000;   // what loader plan --decisions takes
  area.dataset.does = "comment";
  area.value = text || "";
  if (text === null) area.placeholder = "different comments; what you write here replaces them";
  area.addEventListener("input", () => {
    let marked = false;
    for (const record of recordsOf(item)) {
      if (!record.decision) marked = true;
      // Who writes and has not decided, asks.
      set(record, record.decision || "question", area.value);
    }
    changed();
    const pressed = element.querySelector(".decide .question");
    if (marked && pressed) pressed.ariaPressed = "true";
  });
  element.append(label);
}

function comment(i) {
  if (!items[i].open) toggle(i);
  select(i);
  const area = shown.get(i) && shown.get(i).querySelector("textarea");
  if (area) area.focus();
}

function changed() {
  say();
  clearTimeout(keeping);
  keeping = setTimeout(keep, 200);
}

// Says how many are decided.
function say() {
  const done = tally.accept + tally.leave_out + tally.question;
  $("tally").replaceChildren(...[["accept", "accepted"], ["leave_out", "left out"], ["question", "in question"]].flatMap(([what, word]) => {
    return [make("b", what, number(tally[what])), ` ${word} · `];
  }), `${number(records.size - done)} not decided`);
  const more = elsewhere.length + unseenMarks();
  if (more) $("tally").append(` · ${number(more)} more on entries that are not on this page`);
  $("save").disabled = $("clear").disabled = done + elsewhere.length === 0;
}

// Nothing that waits to be kept is lost when the page goes.
function keep() {
  if (!keeping) return;
  clearTimeout(keeping);
  keeping = 0;
  const marks = [...unseen];
  for (const { rows: own, decision, comment } of records.values()) {
    if (decision || comment) marks.push([rows[own[0]].n, decision, comment]);
  }
  try {
    if (marks.length + elsewhere.length) localStorage.setItem(store(), JSON.stringify({ marks, elsewhere }));
    else localStorage.removeItem(store());
    localStorage.setItem("table-loader-reviewer", reviewer.value.trim());
  } catch {
    tell("This browser does not keep your decisions: save them before you close the page.");
  }
}

// What was kept when the page was last open, or by another one of this plan.
function remember() {
  try {
    reviewer.value = localStorage.getItem("table-loader-reviewer") || "";
    const kept = JSON.parse(localStorage.getItem(store()) || "{}");
    const places = new Map((kept.marks || []).map((mark) => [mark[0], mark]));
    for (const record of records.values()) set(record, "", "");
    for (const row of rows) {
      const mark = places.get(row.n);
      if (!mark || !row.record || !(mark[1] === "" || Object.hasOwn(CHOICES, mark[1]))) continue;
      set(row.record, mark[1], String(mark[2] || ""));
      places.delete(row.n);
    }
    unseen = [...places.values()];
    elsewhere = kept.elsewhere || [];
  } catch {
    tell("What was decided before could not be read from this browser.");
  }
  say();
}

window.addEventListener("storage", (event) => {
  if (event.key !== store()) return;
  remember();
  draw(true);
});

function tell(text) {
  toldOf.textContent = text;
}
