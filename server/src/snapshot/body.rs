//! Bytes that are served, and that share what they have in common.

use bytes::{Buf, Bytes};
use memchr::memmem::Finder;

/// The shortest common end that is worth sharing.
const MIN_SHARED: usize = 4 << 10;

/// Bytes compared at a time: a comparison of memory, and few of them.
const STEP: usize = 4 << 10;

/// A body: a beginning of its own, and an end that may be that of another body too. The bodies of a pool differ by
/// little more than the version at their beginning, and each of them may have megabytes.
///
/// There may be one slot in it, for what is another with every answer. [`Body::filled`] gives the body to send.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Body {
    /// Read one after the other. Two of them unless a slot was filled.
    parts: [Bytes; 4],
    slot: Option<Slot>,
}

/// Where the slot is: within one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot {
    part: usize,
    from: usize,
    to: usize,
}

impl Body {
    /// A body that takes the longest end it has in common with one of `others` from that one.
    #[must_use]
    pub fn sharing<'a>(whole: Bytes, others: impl Iterator<Item = &'a Body>) -> Self {
        let common = others.map(|other| (common_end(&whole, &other.parts[1]), other));
        match common.max_by_key(|(length, _)| *length) {
            Some((length, other)) if length >= MIN_SHARED => {
                let tail = &other.parts[1];
                // A copy, so that the whole is not kept for the sake of its beginning.
                let head = Bytes::copy_from_slice(&whole[..whole.len() - length]);
                Self::of(head, tail.slice(tail.len() - length..))
            }
            Some(_) | None => whole.into(),
        }
    }

    fn of(head: Bytes, tail: Bytes) -> Self {
        Self {
            parts: [head, tail, Bytes::new(), Bytes::new()],
            slot: None,
        }
    }

    /// Makes a slot of where `placeholder` stands. None unless that is in exactly one place, and in one piece.
    #[must_use]
    pub fn with_slot(mut self, placeholder: &str) -> Option<Self> {
        let finder = Finder::new(placeholder);
        let mut found = self.parts.iter().enumerate().flat_map(|(part, bytes)| {
            finder.find_iter(bytes).map(move |from| Slot {
                part,
                from,
                to: from + placeholder.len(),
            })
        });
        let slot = found.next()?;
        if found.next().is_some() {
            return None;
        }
        drop(found);
        self.slot = Some(slot);
        Some(self)
    }

    /// Whether there is a slot to be filled.
    #[must_use]
    pub fn has_slot(&self) -> bool {
        self.slot.is_some()
    }

    /// The same body with its slot filled; unchanged when there is none.
    #[must_use]
    pub fn filled(&self, with: Bytes) -> Self {
        let Some(Slot { part, from, to }) = self.slot else {
            return self.clone();
        };
        let [head, tail, ..] = &self.parts;
        let (before, after) = (self.parts[part].slice(..from), self.parts[part].slice(to..));
        let parts = if part == 0 {
            [before, with, after, tail.clone()]
        } else {
            [head.clone(), before, with, after]
        };
        Self { parts, slot: None }
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A copy in one piece.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        self.parts.concat()
    }
}

impl From<Bytes> for Body {
    fn from(whole: Bytes) -> Self {
        Self::of(Bytes::new(), whole)
    }
}

impl Buf for Body {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        self.parts
            .iter()
            .find(|part| !part.is_empty())
            .map_or(&[], |part| part)
    }

    /// All parts, so that they go out in one write.
    fn chunks_vectored<'a>(&'a self, slices: &mut [std::io::IoSlice<'a>]) -> usize {
        self.parts.iter().fold(0, |filled, part| {
            filled + part.chunks_vectored(&mut slices[filled..])
        })
    }

    fn advance(&mut self, mut count: usize) {
        self.slot = None;
        for part in &mut self.parts {
            let of_part = count.min(part.len());
            part.advance(of_part);
            count -= of_part;
        }
    }
}

/// How many bytes are the same at the end of both.
fn common_end(a: &[u8], b: &[u8]) -> usize {
    let whole_steps = a.rchunks_exact(STEP).zip(b.rchunks_exact(STEP));
    let same = whole_steps.take_while(|(a, b)| a == b).count() * STEP;
    let rest = a[..a.len() - same]
        .iter()
        .rev()
        .zip(b[..b.len() - same].iter().rev());
    same + rest.take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use super::*;

    fn text(version: &str, end: usize) -> Bytes {
        format!("{{\"version\":\"{version}\",{}", "x".repeat(end)).into()
    }

    #[test]
    fn an_end_in_common_is_there_once() {
        let first = Body::from(text("3.4.0", 10_000));
        let second = Body::sharing(text("3.5.0", 10_000), [&first].into_iter());
        assert_eq!(second.to_vec(), text("3.5.0", 10_000));
        assert_eq!(
            second.parts[1].as_ptr_range().end,
            first.parts[1].as_ptr_range().end
        );
        assert_eq!(second.parts[0], "{\"version\":\"3.5");
        // The longest one counts, and a short one is not worth it.
        let other = Body::from(text("2.2.0", 5_000));
        let third = Body::sharing(text("3.1.0", 9_000), [&other, &first, &second].into_iter());
        assert_eq!(third.to_vec(), text("3.1.0", 9_000));
        assert_eq!(third.parts[1].len(), 9_000);
        let short = Body::sharing(text("3.1.0", 100), [&first].into_iter());
        assert!(short.parts[0].is_empty() && short.parts[1] == text("3.1.0", 100));
    }

    #[test]
    fn ends_are_compared_to_the_byte() {
        for (a, b, expected) in [
            (0, 0, 0),
            (1, 0, 0),
            (3, 5, 3),
            (STEP, STEP, STEP),
            (2 * STEP + 7, 3 * STEP, 2 * STEP + 7),
        ] {
            assert_eq!(common_end(&vec![1; a], &vec![1; b]), expected);
            let (mut a, mut b) = (vec![1; a + 1], vec![1; b + 1]);
            (a[0], b[0]) = (2, 3);
            assert_eq!(common_end(&a, &b), expected, "{} {}", a.len(), b.len());
        }
    }

    #[test]
    fn it_is_read_across_its_parts() {
        let other = Body::from(text("3.4.0", 5_000));
        let whole = text("3.5.0", 5_000);
        let mut body = Body::sharing(whole.clone(), [&other].into_iter());
        let mut slices = [IoSlice::new(&[]); 4];
        assert_eq!(body.chunks_vectored(&mut slices), 2);
        assert_eq!(slices.iter().map(|slice| slice.len()).sum::<usize>(), whole.len());
        body.advance(3);
        assert_eq!(body.chunk(), &body.parts[0]);
        body.advance(100);
        assert_eq!(
            (body.to_vec(), body.chunk()),
            (whole[103..].to_vec(), &whole[103..])
        );
        body.advance(body.remaining());
        assert!(body.is_empty());
    }

    #[test]
    fn a_slot_is_filled_wherever_it_stands() {
        let tail = "x".repeat(5_000);
        let other = Body::from(text("3.4.0", 5_000));
        for (whole, part) in [
            (format!("a<slot>b{tail}"), 0),
            (format!("a{tail}<slot>b"), 1),
            ("<slot>".to_owned(), 1),
        ] {
            let body = Body::sharing(whole.clone().into(), [&other].into_iter());
            let body = body.with_slot("<slot>").unwrap();
            assert_eq!(body.slot.unwrap().part, part);
            for with in ["", "secret"] {
                let filled = body.filled(with.into());
                assert!(body.has_slot() && !filled.has_slot());
                assert_eq!(filled.to_vec(), whole.replace("<slot>", with).as_bytes());
                let (mut rest, mut read) = (filled, Vec::new());
                while rest.has_remaining() {
                    read.push(rest.chunk()[0]);
                    rest.advance(1);
                }
                assert_eq!(read, whole.replace("<slot>", with).as_bytes());
            }
        }
        for without_one in ["", "ab", "<slot><slot>"] {
            let body = Body::from(Bytes::from_static(without_one.as_bytes()));
            assert_eq!(body.with_slot("<slot>"), None, "{without_one}");
        }
    }
}
