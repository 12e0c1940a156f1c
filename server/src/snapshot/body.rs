//! Bytes that are served, and that share what they have in common.

use bytes::{Buf, Bytes};

/// The shortest common end that is worth sharing.
const MIN_SHARED: usize = 4 << 10;

/// Bytes compared at a time: a comparison of memory, and few of them.
const STEP: usize = 4 << 10;

/// A body: a beginning of its own, and an end that may be that of another body too. The bodies of a pool differ by
/// little more than the version at their beginning, and each of them may have megabytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Body {
    head: Bytes,
    tail: Bytes,
}

impl Body {
    /// A body that takes the longest end it has in common with one of `others` from that one.
    #[must_use]
    pub fn sharing<'a>(whole: Bytes, others: impl Iterator<Item = &'a Body>) -> Self {
        let common = others.map(|other| (common_end(&whole, &other.tail), other));
        match common.max_by_key(|(length, _)| *length) {
            Some((length, other)) if length >= MIN_SHARED => Self {
                // A copy, so that the whole is not kept for the sake of its beginning.
                head: Bytes::copy_from_slice(&whole[..whole.len() - length]),
                tail: other.tail.slice(other.tail.len() - length..),
            },
            Some(_) | None => whole.into(),
        }
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A copy in one piece.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        [&*self.head, &*self.tail].concat()
    }
}

impl From<Bytes> for Body {
    fn from(whole: Bytes) -> Self {
        Self {
            head: Bytes::new(),
            tail: whole,
        }
    }
}

impl Buf for Body {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        if self.head.is_empty() {
            &self.tail
        } else {
            &self.head
        }
    }

    /// Both parts, so that they go out in one write.
    fn chunks_vectored<'a>(&'a self, slices: &mut [std::io::IoSlice<'a>]) -> usize {
        let head = self.head.chunks_vectored(slices);
        head + self.tail.chunks_vectored(&mut slices[head..])
    }

    fn advance(&mut self, count: usize) {
        let of_head = count.min(self.head.len());
        self.head.advance(of_head);
        self.tail.advance(count - of_head);
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
        assert_eq!(second.tail.as_ptr_range().end, first.tail.as_ptr_range().end);
        assert_eq!(second.head, "{\"version\":\"3.5");
        // The longest one counts, and a short one is not worth it.
        let other = Body::from(text("2.2.0", 5_000));
        let third = Body::sharing(text("3.1.0", 9_000), [&other, &first, &second].into_iter());
        assert_eq!(third.to_vec(), text("3.1.0", 9_000));
        assert_eq!(third.tail.len(), 9_000);
        let short = Body::sharing(text("3.1.0", 100), [&first].into_iter());
        assert!(short.head.is_empty() && short.tail == text("3.1.0", 100));
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
        assert_eq!(body.chunk(), &body.head);
        body.advance(100);
        assert_eq!(
            (body.to_vec(), body.chunk()),
            (whole[103..].to_vec(), &whole[103..])
        );
        body.advance(body.remaining());
        assert!(body.is_empty());
    }
}
