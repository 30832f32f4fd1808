//! Medians, ratios, a table and a plot.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use crate::cost::{Cost, Figure};
use crate::data::Mix;
use crate::floors::Floor;
use crate::server::{Result, Server, Took};

const PLOT: &str = "![time of the loader against the floors](performance.svg)";

/// What the loader does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    Plan,
    Show,
    Apply,
    Rollback,
}

impl Work {
    fn words(self) -> &'static str {
        match self {
            Work::Plan => "plan",
            Work::Show => "show",
            Work::Apply => "apply",
            Work::Rollback => "rollback",
        }
    }
}

/// Everything measured of one batch.
pub struct Measured {
    rows: u64,
    records: u64,
    mix: Mix,
    floors: BTreeMap<Floor, Vec<Cost>>,
    ours: BTreeMap<Work, Vec<Cost>>,
    memory: BTreeMap<Work, u64>,
    phases: BTreeMap<Work, Vec<(String, Vec<f64>)>>,
    pub plan_bytes: u64,
}

/// One work against its floor, round by round.
struct Pairs<'m> {
    name: &'static str,
    which: &'static str,
    /// The ratio of times that is not to be exceeded.
    must: f64,
    ours: Vec<Cost>,
    floor: &'m [Cost],
}

impl Pairs<'_> {
    fn ratios(&self, figure: Figure) -> Vec<f64> {
        let pairs = self.ours.iter().zip(self.floor);
        pairs
            .map(|(ours, floor)| figure(ours) / figure(floor))
            .collect()
    }
}

fn seconds(costs: &[Cost]) -> f64 {
    median(&costs.iter().map(|c| c.seconds).collect::<Vec<_>>())
}

/// Median, least and most.
fn spread(ratios: &[f64]) -> String {
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ratios.iter().copied().fold(0.0, f64::max);
    format!("**{:.2}** ({least:.2}–{most:.2})", median(ratios))
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

/// The phases of a `--json` result.
fn phases(json: &serde_json::Value) -> Vec<(String, f64)> {
    let listed = json["timings"].as_array().into_iter().flatten();
    listed
        .filter_map(|t| Some((t["phase"].as_str()?.to_owned(), t["seconds"].as_f64()?)))
        .collect()
}

impl Measured {
    pub fn new(rows: u64, records: u64, mix: Mix) -> Measured {
        Measured {
            rows,
            records,
            mix,
            floors: BTreeMap::new(),
            ours: BTreeMap::new(),
            memory: BTreeMap::new(),
            phases: BTreeMap::new(),
            plan_bytes: 0,
        }
    }

    pub fn floor(&mut self, floor: Floor, cost: Cost) {
        self.floors.entry(floor).or_default().push(cost);
    }

    pub fn ours(&mut self, work: Work, took: &Took) {
        self.ours.entry(work).or_default().push(took.cost);
        let memory = self.memory.entry(work).or_default();
        *memory = took.memory.max(*memory);
        let known = self.phases.entry(work).or_default();
        for (phase, seconds) in phases(&took.json) {
            match known.iter_mut().find(|(name, _)| *name == phase) {
                Some((_, all)) => all.push(seconds),
                None => known.push((phase, vec![seconds])),
            }
        }
    }

    fn seconds(&self, work: Work) -> Option<f64> {
        Some(seconds(self.ours.get(&work)?))
    }

    fn floor_seconds(&self, floor: Floor) -> Option<f64> {
        Some(seconds(self.floors.get(&floor)?))
    }

    /// The faster of the two.
    fn floor_b(&self) -> Option<&[Cost]> {
        let both = [Floor::BSplit, Floor::BOne].map(|f| self.floors.get(&f));
        let faster = both.into_iter().flatten();
        let faster = faster.min_by(|a, b| seconds(a).total_cmp(&seconds(b)));
        faster.map(Vec::as_slice)
    }

    /// What is compared with what.
    fn pairs(&self) -> Vec<Pairs<'_>> {
        let of = |work| self.ours.get(&work).map(Vec::as_slice);
        let both = of(Work::Plan).zip(of(Work::Apply)).map(|(plan, apply)| {
            let pairs = plan.iter().zip(apply);
            pairs.map(|(plan, apply)| plan.and(*apply)).collect()
        });
        let p = self.floors.get(&Floor::P).map(Vec::as_slice);
        let b = self.floor_b();
        let changes = self.mix != Mix::Equal;
        let load = if changes {
            ("B", b, 1.05)
        } else {
            ("P", p, 1.6)
        };
        let alone = if changes { 1.25 } else { 1.2 };
        let (plan, load) = (("P", p, alone), load);
        let lines = [
            ("plan", of(Work::Plan).map(<[Cost]>::to_vec), plan, true),
            (
                "apply",
                of(Work::Apply).map(<[Cost]>::to_vec),
                ("B", b, 0.75),
                changes,
            ),
            ("plan + apply", both, load, true),
            (
                "rollback",
                of(Work::Rollback).map(<[Cost]>::to_vec),
                ("B", b, 1.0),
                changes,
            ),
        ];
        let asked = lines.into_iter().filter(|(.., asked)| *asked);
        let pairs = asked.filter_map(|(name, ours, (which, floor, must), _)| {
            let (ours, floor) = (ours?, floor?);
            Some(Pairs {
                name,
                which,
                must,
                ours,
                floor,
            })
        });
        pairs.collect()
    }

    /// The last round, for who waits.
    pub fn line(&self) -> String {
        let last = |s: &Vec<Cost>| s.last().map_or(0.0, |c| c.seconds);
        let mut line = String::new();
        for (floor, costs) in &self.floors {
            let _ = write!(line, "{floor:?} {:.2} s, ", last(costs));
        }
        for (work, costs) in &self.ours {
            let _ = write!(line, "{} {:.2} s, ", work.words(), last(costs));
        }
        for pairs in self.pairs() {
            let (time, cpu) = (pairs.ratios(|c| c.seconds), pairs.ratios(|c| c.cpu));
            let last = |ratios: Vec<f64>| ratios.last().copied().unwrap_or(f64::NAN);
            let _ = write!(
                line,
                "{}/{} {:.2} (cpu {:.2}), ",
                pairs.name,
                pairs.which,
                last(time),
                last(cpu)
            );
        }
        line.trim_end_matches(", ").to_owned()
    }

    fn title(&self) -> String {
        format!(
            "{} records ({}), {} rows",
            short(self.records),
            self.mix.words(),
            short(self.rows)
        )
    }
}

/// All that was measured, and where.
pub struct Report {
    pub cases: Vec<Measured>,
    machine: String,
    rounds: usize,
    objects: Vec<(u64, f64, f64)>,
    small: Vec<(f64, Cost)>,
}

impl Report {
    pub fn new(server: &Server, rounds: usize) -> Result<Report> {
        let version: String = server
            .connect("postgres")?
            .query_one("SHOW server_version", &[])?
            .get(0);
        let version = version.split(' ').next().unwrap_or(&version).to_owned();
        Ok(Report {
            cases: Vec::new(),
            machine: format!("{}, PostgreSQL {version}", machine()),
            rounds,
            objects: Vec::new(),
            small: Vec::new(),
        })
    }

    pub fn has(&self, rows: u64, records: u64, mix: Mix) -> bool {
        let mut cases = self.cases.iter();
        cases.any(|c| (c.rows, c.records, c.mix) == (rows, records, mix))
    }

    /// Takes a plan of so many objects: the seconds of listing and reading, and of all.
    pub fn objects(&mut self, objects: u64, took: &Took) {
        let reading = phases(&took.json)
            .into_iter()
            .filter(|(phase, _)| phase == "list" || phase == "read and stage")
            .map(|(_, s)| s)
            .sum();
        self.objects.push((objects, reading, took.cost.seconds));
    }

    /// Objects a second, and the seconds of the whole plan.
    fn objects_median(&self) -> Option<(u64, f64, f64)> {
        let (objects, ..) = *self.objects.first()?;
        let of = |f: fn(&(u64, f64, f64)) -> f64| {
            median(&self.objects.iter().map(f).collect::<Vec<_>>())
        };
        Some((objects, objects as f64 / of(|o| o.1), of(|o| o.2)))
    }

    pub fn objects_line(&self) -> String {
        let (n, rate, all) = self.objects_median().unwrap_or_default();
        format!("{n} objects: {rate:.0} a second listed and read, the whole plan {all:.2} s")
    }

    /// Takes a plan of a few records, and the seconds of the least that one can ask.
    pub fn small(&mut self, floor: f64, cost: Cost) {
        self.small.push((floor, cost));
    }

    pub fn small_line(&self) -> String {
        let ratios: Vec<f64> = self.small.iter().map(|(f, c)| c.seconds / f).collect();
        let of = |f: fn(&(f64, Cost)) -> f64| median(&self.small.iter().map(f).collect::<Vec<_>>());
        format!(
            "A plan of 10 records, the whole process: {:.0} ms ({:.0} ms of processors, the server's included); `psql -c \
             'select 1'`: {:.0} ms; {} times that",
            of(|s| s.1.seconds) * 1e3,
            of(|s| s.1.cpu) * 1e3,
            of(|s| s.0) * 1e3,
            spread(&ratios)
        )
    }

    pub fn markdown(&self) -> String {
        let mut out = format!(
            "Machine: {}. Medians of {} rounds, of ratios too, each of two runs of one round; in brackets the least and \
             the most. CPU is that of server and loader together; written is what the server writes in all: log, tables, \
             indexes, temporary files; memory is the loader's peak.\n\n",
            self.machine, self.rounds,
        );
        out += "| batch and table | work | seconds | floor | seconds | ours / floor | must | CPU | log | written | memory | plan file |\n";
        out += "|---|---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|\n";
        for case in &self.cases {
            for pairs in case.pairs() {
                let work = match pairs.name {
                    "plan" => Some(Work::Plan),
                    "apply" => Some(Work::Apply),
                    "rollback" => Some(Work::Rollback),
                    _ => None,
                };
                let memory = work.and_then(|w| case.memory.get(&w)).copied().unwrap_or(0);
                let bytes = |figure: Figure| match pairs.name {
                    "apply" | "rollback" => spread(&pairs.ratios(figure)),
                    _ => String::new(),
                };
                let _ = writeln!(
                    out,
                    "| {} | {} | {:.2} | {} | {:.2} | {} | {} | {} | {} | {} | {} | {} |",
                    case.title(),
                    pairs.name,
                    seconds(&pairs.ours),
                    pairs.which,
                    seconds(pairs.floor),
                    spread(&pairs.ratios(|c| c.seconds)),
                    pairs.must,
                    spread(&pairs.ratios(|c| c.cpu)),
                    bytes(|c| c.wal),
                    bytes(|c| c.written),
                    megabytes(memory),
                    megabytes(if pairs.name == "plan" {
                        case.plan_bytes
                    } else {
                        0
                    }),
                );
            }
            if let Some(seconds) = case.seconds(Work::Show) {
                let memory = case.memory.get(&Work::Show).copied().unwrap_or(0);
                let _ = writeln!(
                    out,
                    "| {} | show | {seconds:.2} | | | | | | | | {} | |",
                    case.title(),
                    megabytes(memory)
                );
            }
        }
        self.floors_table(&mut out);
        self.growth(&mut out);
        if let Some((n, rate, all)) = self.objects_median() {
            let _ = writeln!(
                out,
                "\n{n} objects of one record each from an S3 server on the same machine: {rate:.0} objects a second \
                 listed and read; the whole plan takes {all:.2} s."
            );
        }
        if !self.small.is_empty() {
            let _ = writeln!(out, "\n{}.", self.small_line());
        }
        self.phases_table(&mut out);
        out
    }

    fn floors_table(&self, out: &mut String) {
        out.push_str("\nThe floors, in seconds:\n\n| batch and table |");
        let all = [Floor::A, Floor::BSplit, Floor::BOne, Floor::C, Floor::P];
        let heads: Vec<&str> = all.iter().map(|f| f.words()).collect();
        let _ = writeln!(out, " {} |\n|---|{}", heads.join(" | "), "--:|".repeat(5));
        for case in &self.cases {
            let cells: Vec<String> = all
                .iter()
                .map(|f| {
                    let seconds = case.floor_seconds(*f);
                    seconds.map_or(String::new(), |s| format!("{s:.2}"))
                })
                .collect();
            let _ = writeln!(out, "| {} | {} |", case.title(), cells.join(" | "));
        }
    }

    /// How cost grows with the batch, and with the table.
    fn growth(&self, out: &mut String) {
        let mixed: Vec<&Measured> = self.cases.iter().filter(|c| c.mix == Mix::Mixed).collect();
        let mut lines = String::new();
        for (i, a) in mixed.iter().enumerate() {
            for b in &mixed[i + 1..] {
                let (small, large) = if (a.records, a.rows) < (b.records, b.rows) {
                    (a, b)
                } else {
                    (b, a)
                };
                let only_records = small.rows == large.rows;
                if !only_records && small.records != large.records {
                    continue;
                }
                let ratio = |work: Work| {
                    let (s, l) = (small.seconds(work)?, large.seconds(work)?);
                    let per = |seconds: f64, case: &Measured| seconds / case.records as f64;
                    Some(format!("{:.2}", per(l, large) / per(s, small)))
                };
                let cells = [Work::Plan, Work::Apply, Work::Rollback]
                    .map(|w| ratio(w).unwrap_or_default())
                    .join(" | ");
                let what = if only_records {
                    format!(
                        "{} records against {}, both for {} rows",
                        short(large.records),
                        short(small.records),
                        short(small.rows)
                    )
                } else {
                    format!(
                        "{} records for {} rows against {} rows",
                        short(small.records),
                        short(large.rows),
                        short(small.rows)
                    )
                };
                let _ = writeln!(lines, "| {what} | {cells} |");
            }
        }
        if !lines.is_empty() {
            let _ = write!(
                out,
                "\nTime for each record, larger against smaller:\n\n| | plan | apply | rollback |\n|---|--:|--:|--:|\n{lines}"
            );
        }
    }

    /// Where the first case's time goes, as `--timings` tells.
    fn phases_table(&self, out: &mut String) {
        let Some(case) = self.cases.first() else {
            return;
        };
        let _ = writeln!(
            out,
            "\nWhere the time goes ({}), as `--timings` tells:\n\n| work | phase | seconds |\n|---|---|--:|",
            case.title()
        );
        for (work, phases) in &case.phases {
            for (phase, seconds) in phases {
                let seconds = median(seconds);
                if seconds >= 0.005 {
                    let _ = writeln!(out, "| {} | {phase} | {seconds:.2} |", work.words());
                }
            }
        }
    }

    /// Puts table and plot into `performance.md` between its marks.
    pub fn write(&self, docs: &Path) -> Result<()> {
        let page = docs.join("performance.md");
        let text = std::fs::read_to_string(&page)?;
        let (begin, end) = ("<!-- measured -->\n", "<!-- end -->");
        let (before, rest) = text.split_once(begin).ok_or("no mark in performance.md")?;
        let (_, after) = rest
            .split_once(end)
            .ok_or("no end mark in performance.md")?;
        let table = self.markdown();
        std::fs::write(
            &page,
            format!("{before}{begin}\n{PLOT}\n\n{table}\n{end}{after}"),
        )?;
        std::fs::write(docs.join("performance.svg"), self.svg())?;
        Ok(())
    }

    /// One bar for each ratio; the line is the floor.
    fn svg(&self) -> String {
        const LEFT: f64 = 330.0;
        const UNIT: f64 = 250.0;
        const STEP: f64 = 22.0;
        let mut bars = String::new();
        let mut y = 50.0;
        let mut widest: f64 = 1.5;
        for case in &self.cases {
            let _ = writeln!(
                bars,
                r#"<text x="10" y="{:.0}" class="t">{}</text>"#,
                y + 15.0,
                case.title()
            );
            y += STEP;
            for pairs in case.pairs() {
                let (name, which) = (pairs.name, pairs.which);
                let ratio = median(&pairs.ratios(|c| c.seconds));
                widest = widest.max(ratio);
                let _ = writeln!(
                    bars,
                    r#"<text x="{:.0}" y="{:.0}" text-anchor="end">{name} / floor {which}</text><rect x="{LEFT}" y="{:.0}" width="{:.1}" height="15" class="{}"/><text x="{:.1}" y="{:.0}">{ratio:.2}</text>"#,
                    LEFT - 8.0,
                    y + 13.0,
                    y + 1.0,
                    ratio * UNIT,
                    if ratio <= 1.0 { "f" } else { "s" },
                    LEFT + ratio * UNIT + 6.0,
                    y + 13.0,
                );
                y += STEP;
            }
            y += 8.0;
        }
        let (width, height) = (LEFT + widest * UNIT + 60.0, y + 30.0);
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" font-family="sans-serif" font-size="13">
<style>.t {{ font-weight: bold }} .f {{ fill: #2a7f62 }} .s {{ fill: #b07d2b }} line {{ stroke: #888; stroke-dasharray: 4 3 }}</style>
<rect width="100%" height="100%" fill="#fff"/>
<text x="10" y="24" font-size="15">Time of the loader against hand-written SQL (1.00): shorter is faster</text>
<line x1="{x:.0}" y1="36" x2="{x:.0}" y2="{bottom:.0}"/>
{bars}<text x="10" y="{foot:.0}" fill="#555">{machine}; medians of {rounds} rounds</text>
</svg>
"##,
            x = LEFT + UNIT,
            bottom = y,
            foot = y + 18.0,
            machine = self.machine,
            rounds = self.rounds,
        )
    }
}

/// The machine without its name: cores, processor, memory.
fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let (cpu, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|l| l.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut told = format!("{cores} cores");
    if let Some(model) = field(&cpu, "model name") {
        let _ = write!(told, " ({model})");
    }
    let kib: Option<f64> =
        field(&memory, "MemTotal").and_then(|m| m.trim_end_matches(" kB").trim().parse().ok());
    if let Some(kib) = kib {
        let _ = write!(told, ", {:.0} GB of memory", kib / 1024.0 / 1024.0);
    }
    told
}

fn short(n: u64) -> String {
    match n {
        n if n >= 1_000_000 && n % 1_000_000 == 0 => format!("{}M", n / 1_000_000),
        n if n >= 1_000 && n % 1_000 == 0 => format!("{}k", n / 1_000),
        n => n.to_string(),
    }
}

fn megabytes(bytes: u64) -> String {
    match bytes {
        0 => String::new(),
        n => format!("{:.0} MB", n as f64 / 1e6),
    }
}
