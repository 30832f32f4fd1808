// What people do.

let soon = 0;
const later = () => {
  clearTimeout(soon);
  soon = setTimeout(refresh, 120);
};
search.addEventListener("input", later);
tools.addEventListener("submit", (event) => event.preventDefault());
tools.addEventListener("change", (event) => {
  if (event.target === search) return;
  const option = selects.column.selectedOptions[0];
  if (event.target === selects.column && option && option.table !== undefined) selects.table.value = names.tables[option.table];
  if (event.target === selects.table || event.target === selects.column) offerColumns();
  refresh();
});
tools.addEventListener("reset", (event) => {
  event.preventDefault();
  want(new URLSearchParams());
  refresh();
});
for (const t of toggles) {
  t.addEventListener("click", () => {
    t.ariaPressed = String(t.ariaPressed !== "true");
    refresh();
  });
}
document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-table], [data-action], [data-kind], [data-unusual]");
  if (link) {
    event.preventDefault();
    const params = new URLSearchParams();
    if (link.dataset.table) params.set("table", names.tables[link.dataset.table]);
    if (link.dataset.action) params.set("actions", ACTIONS[link.dataset.action] || "skip");
    if (link.dataset.kind) params.set("kind", link.dataset.kind);
    if (link.dataset.unusual) params.set("unusual", "1");
    location.hash = params;
    tools.scrollIntoView();
    $("changes").tabIndex = -1;
    $("changes").focus({ preventScroll: true });
    return;
  }
  const row = event.target.closest(".row");
  if (!row || event.target.closest("a, button.more, .decide, textarea")) return;
  const i = Number(row.dataset.item);
  const words = String(window.getSelection());
  const opens = event.target.closest("button.sign") || (!words && event.target.closest(".title"));
  select(i);
  if (opens) toggle(i);
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest("input, select, textarea");
  if (event.key === "Escape" && event.target.matches(".row textarea")) {
    event.target.closest(".row").focus({ preventScroll: true });
    return;
  }
  if (event.target === search) {
    if (event.key === "Escape") {
      if (search.value) later();
      search.value = "";
      search.blur();
    } else if ((event.key === "ArrowDown" || event.key === "Enter") && items.length) {
      event.preventDefault();
      select(Math.max(current, 0));
    }
    return;
  }
  if (typing) return;
  const inList = list.contains(event.target) || event.target === document.body;
  const move = (by) => {
    event.preventDefault();
    if (items.length) select(Math.min(Math.max(current + by, 0), items.length - 1));
  };
  if (event.key === "/") {
    event.preventDefault();
    search.focus();
    search.select();
  } else if (event.key === "j" || (event.key === "ArrowDown" && inList && current >= 0)) move(1);
  else if (event.key === "k" || (event.key === "ArrowUp" && inList && current >= 0)) move(-1);
  else if ((event.key === "Enter" || event.key === "o") && current >= 0 && inList && !event.target.closest("a, button")) {
    event.preventDefault();
    toggle(current);
    select(current);
  } else if (current >= 0 && inList && rowOf(items[current]).record) {
    const decision = KEYS[event.key];
    if (decision) decide(current, decision);
    else if (event.key === "c") {
      event.preventDefault();
      comment(current);
    }
  }
});
window.addEventListener("hashchange", follow);
let asked = false;
const redraw = () => {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    draw(false);
  });
};
window.addEventListener("scroll", redraw, { passive: true });
window.addEventListener("resize", redraw);
narrow.addEventListener("change", () => {
  for (const item of items) item.height = closedHeight(rowOf(item));
  measure();
  draw(true);
});

// On paper rows stand one after the other, closed, as they are asked for.
window.addEventListener("beforeprint", () => {
  for (const [i, element] of shown) drop(i, element);
  const many = Math.min(items.length, PRINTED);
  for (let i = 0; i < many; i++) list.append(article(i));
  if (many < items.length) list.append(make("p", "dim", `… and ${number(items.length - many)} more; loader show --all lists them.`));
});
window.addEventListener("afterprint", () => {
  list.replaceChildren();
  draw(true);
});

read().then(remember).then(follow);
