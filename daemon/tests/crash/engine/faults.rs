//! The kernel refuses: every call in turn fails, once or from then on.

use std::sync::Arc;

use daemon::converge::Ending;
use daemon::node::Node;
use rustix::io::Errno;

use super::{Case, Side, apply, recover, tidy};
use crate::model::{Killer, When};

const ERRORS: [Errno; 4] = [Errno::NOSPC, Errno::ROFS, Errno::PERM, Errno::IO];
/// Every how many calls a fault that stays is tried: the way back waits a moment before it gives up.
const STAYING: u64 = 5;

/// Points of an apply that goes well.
fn points(case: &Case) -> u64 {
    let copy = case.copy();
    let counter = Arc::new(Killer::counting());
    apply(&Node::open_tapped(copy.path(), counter.clone()).unwrap(), case).unwrap();
    counter.points()
}

#[test]
fn a_call_that_fails_once_leaves_the_old_config_or_the_new_one_and_says_which() {
    let case = Case::new();
    let mut endings = [0_u32; 2];
    // Before the call: a call that has been made cannot fail any more.
    for point in (0..points(&case)).step_by(2) {
        for errno in ERRORS {
            let copy = case.copy();
            let killer = Arc::new(Killer::failing(When::At(point), errno));
            let told = apply(&Node::open_tapped(copy.path(), killer).unwrap(), &case);
            let side = case
                .side(copy.path())
                .unwrap_or_else(|mix| panic!("{errno:?} at point {point}: {mix}"));
            let expected = match &told {
                Ok(report) => match report.ending {
                    Ending::Applied => Side::New,
                    Ending::Undone => {
                        assert_eq!(
                            report.errors.len(),
                            1,
                            "{errno:?} at point {point}: {:?}",
                            report.errors
                        );
                        Side::Old
                    }
                    Ending::Unchanged | Ending::Stuck | Ending::Refused => {
                        panic!("{errno:?} at point {point}: {report:?}")
                    }
                },
                // The lock was not to be had.
                Err(findings) => {
                    assert!(!findings.is_empty());
                    Side::Old
                }
            };
            assert_eq!(side, expected, "{errno:?} at point {point}: it said {told:?}");
            recover(copy.path()).unwrap();
            assert_eq!(
                case.side(copy.path()),
                Ok(side),
                "{errno:?} at point {point}: recovery changed what was told"
            );
            tidy(copy.path(), side);
            endings[side as usize] += 1;
        }
    }
    assert!(endings.iter().all(|ending| *ending > 0), "{endings:?}");
}

#[test]
fn a_fault_that_stays_is_recovered_from_once_it_goes() {
    let case = Case::new();
    for (index, point) in (0..points(&case))
        .step_by(usize::try_from(2 * STAYING).unwrap())
        .enumerate()
    {
        let errno = ERRORS[index % ERRORS.len()];
        let copy = case.copy();
        let killer = Arc::new(Killer::failing(When::From(point), errno));
        let told = apply(&Node::open_tapped(copy.path(), killer).unwrap(), &case);
        recover(copy.path()).unwrap();
        let side = case
            .side(copy.path())
            .unwrap_or_else(|mix| panic!("{errno:?} from point {point}: {mix}"));
        if let Ok(report) = told {
            match report.ending {
                Ending::Applied => assert_eq!(side, Side::New, "{errno:?} from point {point}"),
                Ending::Undone | Ending::Stuck => assert!(!report.errors.is_empty()),
                Ending::Unchanged | Ending::Refused => panic!("{errno:?} from point {point}: {report:?}"),
            }
        }
        tidy(copy.path(), side);
    }
}
