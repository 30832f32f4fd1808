// Decisions as a file: saved, and read again.

const FORMAT = "table-loader-decisions/1";

function decisions() {
  const found = [];
  for (const { rows: own, decision, comment } of records.values()) {
    if (!decision) continue;
    const { table, key, from } = aboutOf(rows[own[0]]);
    const one = { table, key, decision };
    if (comment.trim()) one.comment = comment.trim();
    if (from.length) one.from = from;
    found.push(one);
  }
  return found.concat(elsewhere);
}

function save() {
  const name = reviewer.value.trim();
  if (!name) {
    tell("Write your name first: the file says whose decisions they are.");
    reviewer.focus();
    return;
  }
  const lines = decisions().map((one) => JSON.stringify(one));
  const head = `{"format": ${JSON.stringify(FORMAT)}, "plan_hash": ${JSON.stringify(names.plan)}, "reviewer": ${JSON.stringify(name)}, "decisions": [\n`;
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([head, lines.join(",\n"), "\n]}\n"], { type: "application/json" }));
  link.download = `decisions-${names.batch.replace(/[^A-Za-z0-9._-]+/g, "_").slice(0, 80)}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  tell(`Saved ${number(lines.length)} ${lines.length === 1 ? "decision" : "decisions"} as ${link.download}.`
    + (unseenMarks() ? ` ${number(unseenMarks())} that another page of this plan has are not in it.` : ""));
}

// What stands against reading a file, in words; an empty text where nothing does. `recordBy` finds what a decision is about.
function wrong(file, recordBy) {
  if (!file || file.format !== FORMAT || !Array.isArray(file.decisions)) return "It is no file of decisions.";
  if (file.plan_hash !== names.plan) return `It is for another plan: ${String(file.plan_hash).slice(0, 80)}. This page is for ${names.plan}.`;
  if (tally.accept + tally.leave_out + tally.question + elsewhere.length) return "This page has decisions already: save and clear them first.";
  const text = (v) => typeof v === "string";
  const fits = (one) => one && text(one.table) && one.key && typeof one.key === "object" && Object.hasOwn(CHOICES, one.decision)
    && (one.comment === undefined || text(one.comment)) && (one.from === undefined || (Array.isArray(one.from) && one.from.every(text)));
  const bad = file.decisions.findIndex((one) => !fits(one));
  if (bad >= 0) return `Its decision ${bad + 1} is not one of accept, leave_out and question on an entry.`;
  const either = file.decisions.findIndex((one) => recordBy(one) === null);
  if (either >= 0) return `Its decision ${either + 1} could be about more than one entry, because their keys look the same: decide about them on this page.`;
  const first = new Map();
  const subject = (one) => recordBy(one) || named(one);
  const again = file.decisions.findIndex((one, i) => {
    if (!first.has(subject(one))) first.set(subject(one), i);
    return file.decisions[first.get(subject(one))].decision !== one.decision;
  });
  return again < 0 ? "" : `Its decisions ${first.get(subject(file.decisions[again])) + 1} and ${again + 1} decide one entry in two ways.`;
}

async function load(chosen) {
  let file = null;
  try {
    file = JSON.parse(await chosen.text());
  } catch {
    // It is no JSON, and null is no file of decisions.
  }
  const asSeen = recordsAsSeen();
  const recordBy = (one) => records.get(named(one)) || asSeen.get(named(one));
  const against = wrong(file, recordBy);
  if (against) {
    tell(`${chosen.name} was not read. ${against}`);
    return;
  }
  for (const one of file.decisions) {
    const record = recordBy(one);
    if (record) set(record, one.decision, one.comment || "");
    else elsewhere.push(one);
  }
  if (typeof file.reviewer === "string") reviewer.value = file.reviewer;
  changed();
  await refresh();
  tell(`Read ${number(file.decisions.length)} ${file.decisions.length === 1 ? "decision" : "decisions"} of ${reviewer.value || "nobody named"}.`);
}

// Twice, so that nothing is lost by one touch.
function clear() {
  const button = $("clear");
  if (!button.dataset.sure) {
    button.dataset.sure = "1";
    button.textContent = "Clear all of them?";
    return;
  }
  settle();
  for (const record of records.values()) set(record, "", "");
  elsewhere = [];
  changed();
  refresh();
  tell("Cleared.");
}

function settle() {
  delete $("clear").dataset.sure;
  $("clear").textContent = "Clear";
}

$("save").addEventListener("click", save);
$("clear").addEventListener("click", clear);
$("clear").addEventListener("blur", settle);
$("load").addEventListener("change", () => {
  const chosen = $("load").files[0];
  $("load").value = "";
  if (chosen) load(chosen);
});
reviewer.addEventListener("input", () => {
  clearTimeout(keeping);
  keeping = setTimeout(keep, 200);
});
window.addEventListener("pagehide", keep);
list.addEventListener("click", (event) => {
  const button = event.target.closest(".decide button");
  if (!button) return;
  const i = Number(button.closest(".row").dataset.item);
  select(i, false);
  decide(i, button.dataset.does);
});
