//! The linear algebra of initialisations, on matrices with a row an output channel.

use nalgebra::DMatrix;
use offshoot_runtime::hash;

/// Singular vectors of a matrix, those of the greatest values first.
#[derive(Clone, Debug)]
pub struct Svd {
    /// `[rows, rank]`, orthonormal columns.
    pub u: DMatrix<f64>,
    /// `[rank, columns]`, orthonormal rows.
    pub vt: DMatrix<f64>,
}

/// Those of the `rank` greatest singular values; fewer where there are no more.
pub fn svd(matrix: &DMatrix<f64>, rank: usize) -> Svd {
    let full = matrix.clone().svd(true, true);
    let mut order: Vec<usize> = (0..full.singular_values.len()).collect();
    order.sort_by(|&a, &b| full.singular_values[b].total_cmp(&full.singular_values[a]));
    order.truncate(rank);
    let (u, vt) = (full.u.unwrap_or_default(), full.v_t.unwrap_or_default());
    Svd { u: u.select_columns(&order), vt: vt.select_rows(&order) }
}

/// Mean over rows of the outer product of a row with itself: `[columns, columns]`.
pub fn covariance(rows: &DMatrix<f64>) -> DMatrix<f64> {
    rows.tr_mul(rows) / rows.nrows().max(1) as f64
}

/// A matrix whose rows have norm 1; rows of zeros stay.
pub fn unit_rows(mut matrix: DMatrix<f64>) -> DMatrix<f64> {
    for mut row in matrix.row_iter_mut() {
        let norm = row.norm();
        if norm > 0.0 {
            row /= norm;
        }
    }
    matrix
}

/// A matrix whose columns have norm 1; columns of zeros stay.
pub fn unit_columns(matrix: DMatrix<f64>) -> DMatrix<f64> {
    unit_rows(matrix.transpose()).transpose()
}

/// Random numbers in -1..1, the same for the same name everywhere.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Numbers that go with `name`.
    pub fn new(name: &str) -> Random {
        Random(hash::fnv1a(hash::EMPTY, name.as_bytes()))
    }

    /// The next number (splitmix64).
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    /// A matrix of them.
    pub fn matrix(&mut self, rows: usize, columns: usize) -> DMatrix<f64> {
        DMatrix::from_fn(rows, columns, |_, _| self.next())
    }

    /// As many orthonormal rows as `columns` allow, at most `rows`.
    pub fn orthonormal(&mut self, rows: usize, columns: usize) -> DMatrix<f64> {
        let rows = rows.min(columns);
        self.matrix(columns, rows).qr().q().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_singular_vectors_hold_most_of_a_matrix() {
        let matrix = Random::new("m").matrix(6, 9);
        let kept = |rank: usize| {
            let Svd { u, vt } = svd(&matrix, rank);
            assert_eq!((u.shape(), vt.shape()), ((6, rank), (rank, 9)));
            let inner = u.transpose() * &matrix * vt.transpose();
            // Diagonal, the greatest first, and all of the matrix where all vectors are kept.
            assert!((&inner - DMatrix::from_diagonal(&inner.diagonal())).norm() < 1e-9);
            assert!(inner.diagonal().as_slice().windows(2).all(|p| p[0] >= p[1]));
            inner.norm()
        };
        assert!((kept(6) - matrix.norm()).abs() < 1e-9);
        assert!(kept(2) < kept(3) && kept(2) > matrix.norm() / 2.0);
    }

    #[test]
    fn random_rows_are_orthonormal_and_repeatable() {
        let rows = Random::new("layer").orthonormal(4, 10);
        let unit = &rows * rows.transpose();
        assert!((unit - DMatrix::identity(4, 4)).norm() < 1e-9);
        assert_eq!(rows, Random::new("layer").orthonormal(4, 10));
        assert_ne!(rows, Random::new("other").orthonormal(4, 10));
        assert_eq!(Random::new("few").orthonormal(9, 3).shape(), (3, 3));
    }
}
