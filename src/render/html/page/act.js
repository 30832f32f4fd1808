// What people do.

let soon = 0;
const later = () => {
  clearTimeout(soon);
  soon = setTimeout(refresh, 120);
};
search.addEventListener("input", later);
tools.addEventListener("submit", (event) => event.preventDefault());
tools.addEventListener("change", (event) => { if (event.target !== search) refresh(); });
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
  const link = event.target.closest("[data-table]");
  if (link) {
    event.preventDefault();
    const params = new URLSearchParams({ table: names.tables[link.dataset.table] });
    if (link.dataset.action) params.set("actions", ACTIONS[link.dataset.action]);
    location.hash = params;
    $("changes").scrollIntoView();
    return;
  }
  const row = event.target.closest(".row");
  if (!row || event.target.closest("a, button.more")) return;
  const i = Number(row.dataset.item);
  const words = String(window.getSelection());
  const opens = event.target.closest("button.sign") || (!words && event.target.closest(".title"));
  select(i);
  if (opens) toggle(i);
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest("input, select, textarea");
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
  for (const item of items) if (!item.open) item.height = closedHeight(rowOf(item));
  measure();
  draw(true);
});

// On paper rows stand one after the other, opened.
window.addEventListener("beforeprint", () => {
  for (const element of shown.values()) element.remove();
  shown.clear();
  const many = Math.min(items.length, PRINTED);
  const before = items.map((item) => item.open);
  for (let i = 0; i < many; i++) {
    items[i].open = true;
    list.append(article(i));
    items[i].open = before[i];
  }
  if (many < items.length) list.append(make("p", "dim", `… and ${number(items.length - many)} more; loader show --all lists them.`));
});
window.addEventListener("afterprint", () => {
  list.replaceChildren();
  draw(true);
});

read().then(follow);
