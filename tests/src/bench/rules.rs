//! Rendering and planning, in this process.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use crds::{MachineConfig, annotations};
use ignition::{Config, Merger, contents};
use machineconfig::plan::Facts;
use machineconfig::{Defaults, Policy, RenderedConfig, plan, render};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use super::row::{Goal, Row};

/// What the reference took on an idle machine with 2 cores.
const REFERENCE: &str = "the reference, measured once";

/// Repetitions; the least disturbed one counts, since all of them do the same work.
const RUNS: usize = 15;

/// Repetitions of a measurement of two sides, one after the other: what else the machine does then slows both.
const ROUNDS: usize = 5;

/// Rows of [`hundred`].
pub(super) const HUNDRED: [&str; 2] = [
    "render 100 configs x 10 files x 2 KiB: merge",
    "render 100 configs x 10 files x 2 KiB: all",
];

/// Rows of [`thousand`].
pub(super) const THOUSAND: [&str; 3] = [
    "render 1000 configs x 4 files: merge",
    "render 1000 configs x 4 files: all",
    "render 4000 configs x 4 files: time per config",
];

/// Rows of [`plan_rows`].
pub(super) const PLAN: [&str; 2] = [
    "plan of 2 configs x 1000 files",
    "plan of 2 configs x 1000 files, with diffs",
];

/// 100 configs of 10 files with 2 KiB each.
pub(super) fn hundred() -> Result<Vec<Row>> {
    // Every other config contests the files of the one before it: what 1000 files of 2 KiB come to is over the size limit.
    let configs = configs(100, 10, 2048, |config| config / 2);
    let merge = Row {
        name: HUNDRED[0],
        value: merge_ms(&configs)?,
        unit: "ms",
        compared_with: REFERENCE,
        other: 460.0,
        goal: Goal::AtMost(3.0),
    };
    let all = Row {
        name: HUNDRED[1],
        value: render_ms(&configs)?,
        other: 800.0,
        goal: Goal::AtMost(15.0),
        ..merge
    };
    Ok(vec![merge, all])
}

/// 1000 configs of 4 files, and whether the time per config stays flat.
pub(super) fn thousand() -> Result<Vec<Row>> {
    let thousand = configs(1000, 4, 4, |config| config);
    let merge = Row {
        name: THOUSAND[0],
        value: merge_ms(&thousand)?,
        unit: "ms",
        compared_with: REFERENCE,
        other: 14_000.0,
        goal: Goal::AtMost(20.0),
    };
    let all = Row {
        name: THOUSAND[1],
        value: render_ms(&thousand)?,
        other: 15_000.0,
        goal: Goal::AtMost(60.0),
        ..merge
    };
    let (many, few) = per_config(4000, 100)?;
    let flat = Row {
        name: THOUSAND[2],
        value: many,
        unit: "µs",
        compared_with: "the same with 100 configs",
        other: few,
        // The MachineConfigs of the small side stay in the caches from one run to the next, those of the large side cannot, and to read
        // them from memory takes a sixth of the time. Growth like the reference's (n^1.6) would make it 9 times.
        goal: Goal::RatioAtMost(1.5),
    };
    Ok(vec![merge, all, flat])
}

/// Microseconds per config to render so many configs, and so few.
fn per_config(many: u32, few: u32) -> Result<(f64, f64)> {
    let side = |count: u32| configs(count as usize, 4, 4, |config| config);
    let sides = [(many, side(many)), (few, side(few))];
    let mut least = [f64::INFINITY; 2];
    for _ in 0..ROUNDS {
        for (least, (count, configs)) in least.iter_mut().zip(&sides) {
            *least = least.min(render_ms(configs)? * 1000.0 / f64::from(*count));
        }
    }
    Ok((least[0], least[1]))
}

/// Two configs of 1000 files each, every tenth of which differs.
pub(super) fn plan_rows() -> Result<Vec<Row>> {
    let side = |revision: usize| -> Result<RenderedConfig> {
        let files = (0..1000).map(|number| {
            let changes = if number % 10 == 0 { revision } else { 0 };
            file(
                &format!("/etc/app/{number:04}.conf"),
                &text(512, number + changes * 7919),
            )
        });
        let config = machine_config(&format!("rendered-worker-{revision}"), &files.collect::<Vec<_>>());
        RenderedConfig::from_machine_config(&config).context("the config of the bench is invalid")
    };
    let (old, new) = (side(1)?, side(2)?);
    let policy = Policy::default();
    let measure = |facts: &Facts<'_>| least(|| (), |()| drop(black_box(plan(&old, &new, &policy, facts))));
    let with_diffs = Facts {
        diffs: Some(machineconfig::redact::Limits::default()),
        ..Facts::default()
    };
    let row = |name: &'static str, value: f64| Row {
        name,
        value,
        unit: "ms",
        compared_with: "the goal",
        other: 20.0,
        goal: Goal::AtMost(20.0),
    };
    Ok(vec![
        row(PLAN[0], measure(&Facts::default())),
        row(PLAN[1], measure(&with_diffs)),
    ])
}

/// Merging alone, of configs that are parsed already.
fn merge_ms(configs: &[MachineConfig]) -> Result<f64> {
    let parsed = configs.iter().map(|config| {
        let value = config
            .spec
            .config
            .as_ref()
            .context("a config of the bench has no Ignition part")?;
        Ok(Config::from_value(value)?.config)
    });
    let parsed: Vec<Config> = parsed.collect::<Result<_>>()?;
    Ok(least(
        || parsed.clone(),
        |parsed| {
            let mut merger = Merger::new(Config::empty());
            for config in parsed {
                merger.add(config);
            }
            black_box(merger.finish());
        },
    ))
}

/// Everything: validation of each config, merge, validation of the result, its bytes and its name.
fn render_ms(configs: &[MachineConfig]) -> Result<f64> {
    let defaults = Defaults {
        os_image_url: "registry.example.com/os@sha256:1".to_owned(),
        ..Defaults::default()
    };
    render("worker", configs, &defaults)
        .map_err(|findings| anyhow!("the configs of the bench are refused: {findings:?}"))?;
    Ok(least(
        || (),
        |()| drop(black_box(render("worker", configs, &defaults))),
    ))
}

/// Milliseconds of the fastest of several runs; `prepare` is not measured. The time is that of this thread on a processor, which is that of
/// the clock on the wall when nothing else runs; all that is measured runs on one thread.
fn least<T>(mut prepare: impl FnMut() -> T, mut work: impl FnMut(T)) -> f64 {
    let mut least = f64::INFINITY;
    for _ in 0..RUNS {
        let input = prepare();
        let start = processor_time();
        work(input);
        least = least.min(processor_time().saturating_sub(start).as_secs_f64() * 1000.0);
    }
    least
}

/// How long this thread has run on a processor.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// `count` MachineConfigs of `files` files of `size` bytes; `owner` says whose paths a config's files have.
fn configs(count: usize, files: usize, size: usize, owner: impl Fn(usize) -> usize) -> Vec<MachineConfig> {
    let one = |config: usize| {
        let path = |number: usize| format!("/b/{:04}-{number}", owner(config));
        let files = (0..files).map(|number| file(&path(number), &text(size, config * files + number)));
        machine_config(&format!("50-bench-{config:04}"), &files.collect::<Vec<_>>())
    };
    (0..count).map(one).collect()
}

fn machine_config(name: &str, files: &[Value]) -> MachineConfig {
    let mut config = MachineConfig::new(name, crds::MachineConfigSpec::default());
    config.metadata.labels = Some([(annotations::ROLE.to_owned(), "worker".to_owned())].into());
    config.spec.config = Some(json!({"ignition": {"version": "3.2.0"}, "storage": {"files": files}}));
    config
}

fn file(path: &str, text: &str) -> Value {
    json!({"path": path, "mode": 420, "overwrite": true, "contents": {"source": contents::percent(text.as_bytes())}})
}

/// Text of `size` bytes in lines, other text for other seeds.
fn text(size: usize, seed: usize) -> String {
    let mut text = String::with_capacity(size + 16);
    let mut number = seed;
    while text.len() < size {
        // A full period modulo 2^32: no line of a file repeats.
        number = (number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223)) % (1 << 32);
        // Writing to a string does not fail.
        let _ = writeln!(text, "key{number}");
    }
    text.truncate(size);
    text
}
