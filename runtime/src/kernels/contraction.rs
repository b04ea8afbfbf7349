//! Sums of products over nested loops, one element of the result at a time: what a product of two
//! activations and its gradients share.

use crate::program::op::Contraction;
use crate::Fault;

/// One loop: its turns, and how far it moves along each tensor.
#[derive(Clone, Copy, Debug)]
struct Turns {
    size: usize,
    a: usize,
    b: usize,
    y: usize,
}

/// A loop that does nothing.
const ONCE: Turns = Turns { size: 1, a: 0, b: 0, y: 0 };

/// A contraction whose loops are sorted into those that index the result and those that are summed.
#[derive(Clone, Copy, Debug)]
pub struct Sums {
    /// Where the loops begin in a, b and y.
    first: [usize; 3],
    /// Loops that index y, the largest step first: the digits of an element's place.
    indexed: [Turns; 4],
    /// Loops that are summed; the last is the innermost.
    summed: [Turns; 4],
}

impl Sums {
    /// Sorts the loops. The innermost one runs along neighbours in both factors, where there is
    /// such a one.
    pub fn of(loops: &Contraction) -> Sums {
        let first = [loops.a.at, loops.b.at, loops.y.at].map(|at| at as usize);
        let (mut indexed, mut summed) = ([ONCE; 4], [ONCE; 4]);
        for k in 0..4 {
            let turns = Turns {
                size: loops.size[k].into(),
                a: loops.a.step[k] as usize,
                b: loops.b.step[k] as usize,
                y: loops.y.step[k] as usize,
            };
            if loops.y.moves(loops.size, k) {
                indexed[k] = turns;
            } else {
                summed[k] = turns;
            }
        }
        for k in 1..4 {
            for j in (1..=k).rev() {
                if indexed[j - 1].y < indexed[j].y {
                    indexed.swap(j - 1, j);
                }
            }
        }
        // Of the summed loops any may be the innermost: the fastest, or one that has turns at all.
        let speed = |t: &Turns| [usize::from(t.size > 1), usize::from([t.a, t.b] == [1, 1])];
        for k in 0..3 {
            if speed(&summed[k]) > speed(&summed[3]) {
                summed.swap(k, 3);
            }
        }
        Sums { first, indexed, summed }
    }

    /// `sum (a - zeros[0]) (b - zeros[1])` for the element of y at `place`, or none where no loop
    /// meets it. Exact where it stays in 32 bits.
    ///
    /// # Errors
    /// A [`Fault`] where the loops leave a factor.
    #[inline]
    pub fn at(
        &self,
        place: usize,
        [a, b]: [&[i8]; 2],
        zeros: [i32; 2],
    ) -> Result<Option<i32>, Fault> {
        let [mut from_a, mut from_b, first] = self.first;
        let Some(mut rest) = place.checked_sub(first) else { return Ok(None) };
        for turns in self.indexed.iter().filter(|t| t.y > 0) {
            let turn = rest / turns.y;
            if turn >= turns.size {
                return Ok(None);
            }
            rest -= turn * turns.y;
            from_a += turn * turns.a;
            from_b += turn * turns.b;
        }
        if rest > 0 {
            return Ok(None);
        }
        let [outer, middle, inner, last] = &self.summed;
        let mut sum = 0i32;
        for i in 0..outer.size {
            for j in 0..middle.size {
                for k in 0..inner.size {
                    let a_at = from_a + i * outer.a + j * middle.a + k * inner.a;
                    let b_at = from_b + i * outer.b + j * middle.b + k * inner.b;
                    let [a, b] = [a.get(a_at..), b.get(b_at..)];
                    let factors = [a.ok_or(Fault::OutOfBounds)?, b.ok_or(Fault::OutOfBounds)?];
                    sum = sum.wrapping_add(last.dot(factors, zeros)?);
                }
            }
        }
        Ok(Some(sum))
    }
}

impl Turns {
    /// Sum of products along this loop, from the beginning of both factors.
    #[inline]
    fn dot(&self, [a, b]: [&[i8]; 2], [a_zero, b_zero]: [i32; 2]) -> Result<i32, Fault> {
        let product = |a: i8, b: i8| (i32::from(a) - a_zero) * (i32::from(b) - b_zero);
        if [self.a, self.b] == [1, 1] {
            let a = a.get(..self.size).ok_or(Fault::OutOfBounds)?;
            let b = b.get(..self.size).ok_or(Fault::OutOfBounds)?;
            let products = a.iter().zip(b).map(|(&a, &b)| product(a, b));
            return Ok(products.fold(0i32, i32::wrapping_add));
        }
        let mut sum = 0i32;
        for n in 0..self.size {
            let a = *a.get(n * self.a).ok_or(Fault::OutOfBounds)?;
            let b = *b.get(n * self.b).ok_or(Fault::OutOfBounds)?;
            sum = sum.wrapping_add(product(a, b));
        }
        Ok(sum)
    }
}
