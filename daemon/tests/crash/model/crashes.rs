//! Which of the changes that are not durable a power cut leaves, systematically and then at random, and the trees that result.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::disk::{Disk, Effect, Id, written};
use super::tree::{Contents, Tree};
use super::{Model, Step};

/// How many states are made of a [`Model`].
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Where chance begins: the same seed makes the same states.
    pub(crate) seed: u64,
    /// Every subset is made of so many changes that are not durable.
    pub(crate) every_subset: usize,
    /// Every pair is left out, and is left alone, of so many.
    pub(crate) every_pair: usize,
    /// Subsets at random at each point.
    pub(crate) random: usize,
    /// Places at which the write before a point is torn.
    pub(crate) cuts: usize,
    /// The most choices that are tried at a point; of more, some are taken by chance.
    pub(crate) per_point: usize,
}

/// A tree that a power cut may leave.
#[derive(Debug, Clone)]
pub(crate) struct Crash {
    /// After so many calls.
    pub(crate) point: usize,
    /// What is there then.
    pub(crate) tree: Tree,
    choice: Choice,
}

/// The iterator of [`Model::crashes`].
#[derive(Debug)]
pub(crate) struct Crashes<'a> {
    model: &'a Model,
    limits: Limits,
    /// Points that are left; the next is one below.
    points: usize,
    /// What is left to try at the point under way, and which that is.
    choices: Vec<Choice>,
    point: usize,
    /// Trees that were given.
    given: HashSet<u64>,
    /// Choices that were tried.
    tried: HashSet<u64>,
    /// Contents that were put together, for the base that is in use.
    made: HashMap<Recipe, Contents>,
    base: usize,
}

/// How the contents of a file came about: the writes that reached the disk, how many of them are durable, what became of the rest.
type Recipe = (Id, Vec<usize>, usize, Fate);

/// What a power cut leaves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Choice {
    /// Of the calls from the first that is not durable to the point: which reached the disk.
    kept: Vec<bool>,
    /// What became of written contents among them.
    data: Data,
}

/// What became of the contents that were written but not synced, of each file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Data {
    /// All alike.
    All(Fate),
    /// The last write to one file is torn; the others are whole.
    Torn { file: Id, length: usize },
    /// As chance will have it.
    Random { seed: u64 },
}

/// What became of the contents that were written to a file but not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Fate {
    /// There.
    Whole,
    /// Not there, the length neither.
    Lost,
    /// The first half, and cut off.
    Half,
    /// The first half, and zeros.
    HalfZeros,
    /// Zeros.
    Zeros,
    /// Of the last write so many bytes.
    Torn(usize),
}

/// The writes to a file that reached the disk.
#[derive(Debug, Default)]
struct Writes {
    steps: Vec<usize>,
    durable: usize,
}

/// Fates but that of nothing having happened.
const BAD: [Fate; 4] = [Fate::Lost, Fate::Half, Fate::HalfZeros, Fate::Zeros];

impl Default for Limits {
    /// Some hundreds of states at each point at most.
    fn default() -> Self {
        Self {
            seed: 1,
            every_subset: 6,
            every_pair: 12,
            random: 32,
            cuts: 16,
            per_point: 400,
        }
    }
}

// === impl Crashes ===

impl<'a> Crashes<'a> {
    pub(super) fn new(model: &'a Model, limits: &Limits) -> Self {
        Self {
            model,
            limits: limits.clone(),
            points: model.steps.len() + 1,
            choices: Vec::new(),
            point: 0,
            given: HashSet::new(),
            tried: HashSet::new(),
            made: HashMap::new(),
            base: usize::MAX,
        }
    }

    /// Goes on to the point before; `None` when there is none.
    fn next_point(&mut self) -> Option<()> {
        self.points = self.points.checked_sub(1)?;
        self.point = self.points;
        let bases = &self.model.bases;
        // A base serves the points from the one on at which all before it is durable.
        let base = bases
            .iter()
            .rposition(|(begin, _)| self.is_base_at(*begin))
            .expect("before the first call nothing has to be durable");
        if base != self.base {
            self.base = base;
            self.made.clear();
        }
        let window = Window::new(self.model, bases[base].0, self.point);
        let mut choices = window.systematic(&self.limits);
        let mut chance = Chance(self.limits.seed ^ (self.point as u64) << 32);
        for _ in 0..self.limits.random {
            choices.push(window.random(&mut chance));
        }
        let (begin, point) = (bases[base].0, self.point);
        choices.retain(|choice| self.tried.insert(choice.digest(begin, point)));
        // The first are those that matter most; of the others chance leaves some.
        let sure = self.limits.per_point / 2;
        while choices.len() > self.limits.per_point {
            let one = sure + chance.below(choices.len() - sure);
            choices.swap_remove(one);
        }
        choices.reverse();
        self.choices = choices;
        Some(())
    }

    fn is_base_at(&self, begin: usize) -> bool {
        begin <= self.point
            && self.model.steps[..begin]
                .iter()
                .all(|step| step.is_durable(self.point))
    }

    /// The tree that a choice leaves.
    fn tree(&mut self, choice: &Choice) -> Tree {
        let (begin, base) = &self.model.bases[self.base];
        let mut disk = base.clone();
        let mut writes: BTreeMap<Id, Writes> = BTreeMap::new();
        for (number, kept) in (*begin..).zip(&choice.kept) {
            if !kept {
                continue;
            }
            let step = &self.model.steps[number];
            if let Some(file) = step.effect.file() {
                let writes = writes.entry(file).or_default();
                writes.steps.push(number);
                writes.durable += usize::from(step.is_durable(self.point));
            } else {
                disk.apply(&step.effect);
            }
        }
        for (file, writes) in writes {
            let fate = choice.data.fate_of(file);
            let recipe = (file, writes.steps, writes.durable, fate);
            let contents = self.made.entry(recipe).or_insert_with_key(|recipe| {
                let (file, steps, durable, fate) = recipe;
                written_so_far(&self.model.steps, &disk, *file, steps, *durable, *fate)
            });
            disk.set_contents(file, contents.clone());
        }
        disk.tree()
    }
}

impl Iterator for Crashes<'_> {
    type Item = Crash;

    fn next(&mut self) -> Option<Crash> {
        loop {
            let Some(choice) = self.choices.pop() else {
                self.next_point()?;
                continue;
            };
            let tree = self.tree(&choice);
            if self.given.insert(tree.digest()) {
                return Some(Crash {
                    point: self.point,
                    tree,
                    choice,
                });
            }
        }
    }
}

/// The contents of a file after those of `steps` that reached the disk, of which the first `durable` cannot be lost.
fn written_so_far(
    all: &[Step],
    disk: &Disk,
    file: Id,
    steps: &[usize],
    durable: usize,
    fate: Fate,
) -> Contents {
    let mut bytes = disk.contents(file).to_vec();
    let mut before = bytes.clone();
    // Below this length nothing was touched that is not durable.
    let mut firm = bytes.len();
    let mut last = None;
    for (count, number) in steps.iter().enumerate() {
        if count == durable {
            before.clone_from(&bytes);
            firm = bytes.len();
        }
        match &all[*number].effect {
            Effect::Write { at, bytes: new, .. } => {
                bytes = written(bytes, *at, new);
                last = Some(*at);
            }
            Effect::Cut { length, .. } => {
                bytes.resize(*length, 0);
                firm = firm.min(*length);
            }
            Effect::Names(_)
            | Effect::Owner { .. }
            | Effect::Mode { .. }
            | Effect::Attribute { .. }
            | Effect::Sync => unreachable!("only changes of contents are asked for"),
        }
    }
    if durable == steps.len() {
        return bytes.as_slice().into();
    }
    let half = firm + (bytes.len() - firm) / 2;
    match fate {
        Fate::Whole => {}
        Fate::Lost => bytes = before,
        Fate::Half => bytes.truncate(half),
        Fate::HalfZeros => bytes[half..].fill(0),
        Fate::Zeros => bytes[firm..].fill(0),
        Fate::Torn(length) => bytes.truncate(last.unwrap_or(0) + length),
    }
    bytes.as_slice().into()
}

// === impl Choice ===

impl Choice {
    /// Tells choices apart at all points; the same where the trees must be the same.
    fn digest(&self, begin: usize, point: usize) -> u64 {
        let whole = self.kept.iter().take_while(|kept| **kept).count();
        let late = self.kept.iter().enumerate().skip(whole);
        let late: Vec<usize> = late
            .filter(|(_, kept)| **kept)
            .map(|(at, _)| begin + at)
            .collect();
        let mut hasher = DefaultHasher::new();
        // What has bad luck depends on what is durable, and so on the point.
        let point = (self.data != Data::All(Fate::Whole)).then_some(point);
        (begin + whole, late, self.data, point).hash(&mut hasher);
        hasher.finish()
    }
}

// === impl Data ===

impl Data {
    fn fate_of(self, of: Id) -> Fate {
        match self {
            Data::All(fate) => fate,
            Data::Torn { file, length } if file == of => Fate::Torn(length),
            Data::Torn { .. } => Fate::Whole,
            Data::Random { seed } => {
                let mut chance = Chance(seed ^ (of as u64).rotate_left(32));
                // Whole more often than the others: a program notices that much is bad, and not so easily that little is.
                match chance.below(2 * BAD.len()) {
                    bad if bad < BAD.len() => BAD[bad],
                    _ => Fate::Whole,
                }
            }
        }
    }
}

/// The calls that are not durable at a point.
struct Window<'a> {
    steps: &'a [Step],
    /// The number of the first of them.
    begin: usize,
    point: usize,
    /// Those that may be there or not.
    open: Vec<usize>,
}

// === impl Window ===

impl<'a> Window<'a> {
    fn new(model: &'a Model, begin: usize, point: usize) -> Self {
        let open = begin..point;
        Self {
            steps: &model.steps,
            begin,
            point,
            open: open
                .filter(|number| !model.steps[*number].is_durable(point))
                .collect(),
        }
    }

    /// With these of the open ones, and with what they need and what is durable.
    fn choice(&self, which: impl Fn(usize) -> bool, data: Data) -> Choice {
        let mut kept = vec![false; self.point - self.begin];
        for (at, number) in (self.begin..self.point).enumerate() {
            kept[at] = self.steps[number].is_durable(self.point);
        }
        for (order, number) in self.open.iter().enumerate() {
            kept[number - self.begin] = which(order);
        }
        for at in (0..kept.len()).rev() {
            if kept[at] {
                let needs = self.steps[self.begin + at].needs.iter();
                // What is before the window is there anyway.
                for need in needs.filter(|need| **need >= self.begin) {
                    kept[need - self.begin] = true;
                }
            }
        }
        Choice { kept, data }
    }

    /// What is tried always, what matters most first.
    fn systematic(&self, limits: &Limits) -> Vec<Choice> {
        let count = self.open.len();
        let whole = Data::All(Fate::Whole);
        let mut choices = Vec::new();
        let mut add = |choice: Choice| {
            let with_data = self.has_data(&choice);
            choices.push(choice.clone());
            if with_data {
                choices.extend(BAD.map(|fate| Choice {
                    kept: choice.kept.clone(),
                    data: Data::All(fate),
                }));
            }
        };
        add(self.choice(|_| true, whole));
        add(self.choice(|_| false, whole));
        if count <= limits.every_subset {
            for subset in 0..1_u64 << count {
                add(self.choice(|order| subset >> order & 1 == 1, whole));
            }
        }
        for one in 0..count {
            add(self.choice(|order| order != one, whole));
            add(self.choice(|order| order == one, whole));
        }
        for length in 1..count {
            add(self.choice(|order| order < length, whole));
        }
        if count <= limits.every_pair {
            for (one, other) in (0..count).flat_map(|one| (0..one).map(move |other| (one, other))) {
                add(self.choice(|order| order != one && order != other, whole));
                add(self.choice(|order| order == one || order == other, whole));
            }
        }
        // Torn writes stand before what may be left to chance.
        let rest = choices.split_off(choices.len().min(2));
        choices.extend(self.torn(limits));
        choices.extend(rest);
        choices
    }

    /// The last write before the point, torn at places spread over its length.
    fn torn(&self, limits: &Limits) -> Vec<Choice> {
        let Some(number) = self.point.checked_sub(1) else {
            return Vec::new();
        };
        let Effect::Write { file, bytes, .. } = &self.steps[number].effect else {
            return Vec::new();
        };
        let mut lengths: Vec<usize> = (0..limits.cuts)
            .map(|cut| 1 + cut * bytes.len().saturating_sub(2) / (limits.cuts - 1).max(1))
            .filter(|length| *length < bytes.len())
            .collect();
        lengths.dedup();
        let torn = lengths
            .into_iter()
            .map(|length| Data::Torn { file: *file, length });
        torn.map(|data| self.choice(|_| true, data)).collect()
    }

    /// Something of everything.
    fn random(&self, chance: &mut Chance) -> Choice {
        let (subset, data) = (chance.next(), chance.next());
        // How many reach the disk is chance too: with a half of them each time, a lone one would never be seen.
        let of = 1 + chance.below(15);
        self.choice(
            |order| Chance(subset ^ (order as u64).rotate_left(32)).below(16) < of,
            Data::Random { seed: data },
        )
    }

    /// Whether contents are among what may be lost.
    fn has_data(&self, choice: &Choice) -> bool {
        self.open
            .iter()
            .any(|number| choice.kept[number - self.begin] && self.steps[*number].effect.file().is_some())
    }
}

/// Numbers that look random: splitmix64.
struct Chance(u64);

// === impl Chance ===

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        // The remainder is small enough for any tilt not to matter.
        usize::try_from(self.next() % end as u64).expect("it is below a usize")
    }
}

// === impl Model ===

impl Model {
    /// What a power cut kept and lost, for the message of a failed test.
    pub(crate) fn describe(&self, crash: &Crash) -> String {
        use std::fmt::Write as _;
        let begin = crash.point - crash.choice.kept.len();
        let mut text = format!("a power cut after {} calls", crash.point);
        match crash.choice.data {
            Data::All(Fate::Whole) => {}
            data => {
                let _ = write!(text, ", contents that were not synced: {data:?}");
            }
        }
        for (number, kept) in (begin..).zip(&crash.choice.kept) {
            let step = &self.steps[number];
            let fate = match (kept, step.is_durable(crash.point)) {
                (_, true) => "durable",
                (true, false) => "there",
                (false, false) => "LOST",
            };
            let _ = write!(text, "\n  {number:4} {fate:7} {}", step.what);
        }
        text
    }
}
