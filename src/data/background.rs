//! The background of a picture that shows something on one light or dark ground, evenly lit or not.

/// A quadratic surface for each colour, fitted to a picture's border: paper and studio grounds are hardly ever lit
/// evenly.
#[derive(Clone, Debug)]
pub(crate) struct Background {
    coefficients: [[f64; TERMS]; 3],
    /// The colour, where it is the same everywhere.
    even: Option<[f32; 3]>,
}

const TERMS: usize = 6;
/// How far from the surface a border pixel may be to count as background, of 1.
const NEAR: f32 = 0.06;
/// The share of the border that must be background.
const SHARE: f32 = 0.7;

/// 1, x, y, x^2, xy, y^2 for x and y from -1 to 1.
fn basis(u: f32, v: f32) -> [f64; TERMS] {
    let (x, y) = (f64::from(2.0 * u - 1.0), f64::from(2.0 * v - 1.0));
    [1.0, x, y, x * x, x * y, y * y]
}

impl Background {
    /// The background of a picture of `width` x `height` colours; `None` when its border is not mostly of one kind.
    pub fn fit(colours: &[[f32; 3]], width: usize, height: usize) -> Option<Self> {
        let ring = (width.min(height) / 40).max(1);
        let place = |i: usize| ((i % width) as f32 + 0.5, (i / width) as f32 + 0.5);
        let border: Vec<([f64; TERMS], [f32; 3])> = (0..colours.len())
            .filter(|i| {
                let (x, y) = (i % width, i / width);
                x.min(width - 1 - x) < ring || y.min(height - 1 - y) < ring
            })
            .map(|i| (basis(place(i).0 / width as f32, place(i).1 / height as f32), colours[i]))
            .collect();
        let median = [0, 1, 2].map(|c| {
            let mut values: Vec<f32> = border.iter().map(|(_, colour)| colour[c]).collect();
            values.sort_by(f32::total_cmp);
            values[values.len() / 2]
        });
        let mut constant = [[0.0; TERMS]; 3];
        (0..3).for_each(|c| constant[c][0] = f64::from(median[c]));
        let mut best = Self { coefficients: constant, even: Some(median) };
        // An even ground needs no surface; otherwise the surface is fitted to what is near it, ever nearer.
        if best.share(&border, NEAR / 2.0) < 0.9 {
            for near in [0.3, 0.15, 0.1, NEAR, NEAR] {
                best = best.refit(&border, near)?;
            }
        }
        (best.share(&border, NEAR) >= SHARE).then_some(best)
    }

    fn share(&self, border: &[([f64; TERMS], [f32; 3])], near: f32) -> f32 {
        border.iter().filter(|(basis, colour)| self.distance_at(basis, colour) < near).count() as f32
            / border.len() as f32
    }

    /// Least squares over the border pixels within `near` of the surface.
    fn refit(&self, border: &[([f64; TERMS], [f32; 3])], near: f32) -> Option<Self> {
        // Normal equations with three right-hand sides.
        let mut system = [[0.0; TERMS + 3]; TERMS];
        for (basis, colour) in border.iter().filter(|(basis, colour)| self.distance_at(basis, colour) < near) {
            for (row, a) in system.iter_mut().zip(basis) {
                row.iter_mut().zip(basis).for_each(|(s, b)| *s += a * b);
                row[TERMS..].iter_mut().zip(colour).for_each(|(s, c)| *s += a * f64::from(*c));
            }
        }
        for (i, row) in system.iter_mut().enumerate() {
            row[i] += 1e-6;
        }
        for i in 0..TERMS {
            let pivot = (i..TERMS).max_by(|a, b| system[*a][i].abs().total_cmp(&system[*b][i].abs()))?;
            system.swap(i, pivot);
            let row = system[i];
            if row[i].abs() < 1e-9 {
                return None;
            }
            for (_, other) in system.iter_mut().enumerate().filter(|(j, _)| *j != i) {
                let factor = other[i] / row[i];
                other.iter_mut().zip(&row).for_each(|(o, r)| *o -= factor * r);
            }
        }
        let mut coefficients = [[0.0; TERMS]; 3];
        for (i, row) in system.iter().enumerate() {
            (0..3).for_each(|c| coefficients[c][i] = row[TERMS + c] / row[i]);
        }
        Some(Self { coefficients, even: None })
    }

    fn value(&self, basis: &[f64; TERMS]) -> [f32; 3] {
        if let Some(even) = self.even {
            return even;
        }
        self.coefficients.map(|of| of.iter().zip(basis).map(|(a, b)| a * b).sum::<f64>().clamp(0.0, 1.0) as f32)
    }

    fn distance_at(&self, basis: &[f64; TERMS], colour: &[f32; 3]) -> f32 {
        let ground = self.value(basis);
        (0..3).map(|c| (colour[c] - ground[c]).abs()).fold(0.0, f32::max)
    }

    /// The colour of the background at a place, in shares of the picture's width and height.
    pub fn at(&self, u: f32, v: f32) -> [f32; 3] {
        self.value(&basis(u, v))
    }

    /// How far a colour at a place is from the background's, of 1.
    pub fn distance(&self, u: f32, v: f32, colour: &[f32; 3]) -> f32 {
        self.distance_at(&basis(u, v), colour)
    }

    /// Whether it has one colour everywhere.
    pub fn is_even(&self) -> bool {
        self.even.is_some()
    }

    /// The least of the background's colours in the middle: 1 is white.
    pub fn lightness(&self) -> f32 {
        self.at(0.5, 0.5).into_iter().fold(1.0, f32::min)
    }

    /// Whether it is so light that the picture may be lifted to a white ground.
    pub fn is_light(&self) -> bool {
        self.lightness() > 0.4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_uneven_ground_is_followed_below_the_content() {
        let (width, height) = (60, 80);
        let ground = |x: f32, y: f32| 0.6 + 0.3 * y - 0.2 * (x - 0.5).powi(2);
        let colours: Vec<[f32; 3]> = (0..width * height)
            .map(|i| {
                let (x, y) = (i % width, i / width);
                let (u, v) = ((x as f32 + 0.5) / width as f32, (y as f32 + 0.5) / height as f32);
                // A dark thing that also touches the left border.
                if x < 30 && (30..50).contains(&y) { [0.1; 3] } else { [ground(u, v), ground(u, v) * 0.9, 0.5] }
            })
            .collect();
        let background = Background::fit(&colours, width, height).unwrap();
        for (u, v) in [(0.1, 0.9), (0.5, 0.5), (0.9, 0.2)] {
            let [red, green, blue] = background.at(u, v);
            assert!((red - ground(u, v)).abs() < 0.01 && (green - 0.9 * ground(u, v)).abs() < 0.01, "{red} {green}");
            assert!((blue - 0.5).abs() < 0.01);
        }
        let busy: Vec<[f32; 3]> = (0..width * height).map(|i| [(i * 7919 % 256) as f32 / 255.0; 3]).collect();
        assert!(Background::fit(&busy, width, height).is_none());
    }
}
