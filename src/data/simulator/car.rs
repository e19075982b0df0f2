//! Models of cars: body styles, proportions and colours, and the faces that they are drawn with.

use super::View;
use super::raster::{Camera, Point};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::f32::consts::TAU;

/// One of the two sets of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// The first.
    A = 0,
    /// The second.
    B = 1,
}

/// A kind of body, as [`STYLES`] has them.
type Style = ([f32; 4], f32, f32, f32, f32);

/// The kinds of body, with the shares of the length at which the cabin's corners stand (from the rear: rear foot, rear of
/// the roof, front of the roof, front foot), the height of belt and roof, the length, and the ground clearance.
const STYLES: [Style; 7] = [
    ([0.15, 0.26, 0.52, 0.70], 0.88, 1.40, 4.5, 0.20), // saloon
    ([0.03, 0.12, 0.54, 0.72], 0.90, 1.45, 4.0, 0.20), // hatchback
    ([0.02, 0.07, 0.53, 0.70], 0.90, 1.45, 4.6, 0.20), // estate
    ([0.14, 0.34, 0.50, 0.68], 0.82, 1.25, 4.3, 0.16), // coupe
    ([0.02, 0.06, 0.58, 0.72], 1.05, 1.72, 4.5, 0.30), // off-road
    ([0.44, 0.46, 0.62, 0.74], 1.02, 1.68, 4.8, 0.30), // pick-up
    ([0.01, 0.03, 0.74, 0.90], 1.08, 1.85, 4.5, 0.24), // van
];

/// How much the weight of a body style counts: at this, most cars are nearly of one style.
const SHARPNESS: f32 = 4.0;

/// A model of a car: everything about it but where it is seen from.
#[derive(Clone, Debug, PartialEq)]
pub struct CarModel {
    style: usize,
    length: f32,
    width: f32,
    belt: f32,
    roof: f32,
    clearance: f32,
    cabin: [f32; 4],
    hood_drop: f32,
    wheel: f32,
    inset: f32,
    paint: [f32; 3],
    roof_paint: [f32; 3],
    hub: f32,
    lamp: f32,
    grille: f32,
}

/// What a face is made of.
#[derive(Clone, Copy, PartialEq)]
enum Material {
    /// Lit by the light.
    Paint([f32; 3]),
    /// Dark, and light where it mirrors the sky.
    Glass,
    /// As bright from everywhere.
    Even([f32; 3]),
}

/// A convex face.
pub(super) struct Face {
    pub corners: Vec<Point>,
    material: Material,
}

impl Face {
    /// The colour of the face under a light that comes from `light`, given in the car's own directions.
    pub fn colour(&self, light: Point, view: View, camera: &Camera) -> [f32; 3] {
        let normal = self.normal(camera);
        let lit = dot(normal, light).max(0.0);
        match self.material {
            Material::Even(colour) => colour,
            Material::Paint(colour) => {
                let brightness = view.ambient + (1.05 - view.ambient) * lit;
                colour.map(|value| (value * brightness).min(1.0))
            }
            Material::Glass => {
                let sky = 0.10 + 0.35 * normal[1].max(0.0) + 0.12 * lit;
                [sky, sky * 1.08, sky * 1.2]
            }
        }
    }

    /// The unit vector across the face, to the side that the camera sees.
    fn normal(&self, camera: &Camera) -> Point {
        let [a, b, c] = [self.corners[0], self.corners[1], self.corners[2]];
        let (u, v) = (minus(b, a), minus(c, a));
        let normal = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
        let length = dot(normal, normal).sqrt().max(1e-9);
        // The camera is far away: what points towards it has a positive third coordinate.
        let ground = camera.seen([0.0; 3])[2];
        let sign = if camera.seen(normal)[2] - ground < 0.0 { -1.0 } else { 1.0 };
        normal.map(|value| sign * value / length)
    }
}

fn dot(a: Point, b: Point) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn minus(a: Point, b: Point) -> Point {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

impl CarModel {
    /// Model `index` of a set; there is no end to them, and no two are the same.
    pub fn of(set: Set, index: usize) -> Self {
        let random = &mut StdRng::seed_from_u64(0xca45 + 2 * index as u64 + set as u64);
        let style = random.random_range(0..STYLES.len());
        let (cabin, belt, roof, length, clearance) = STYLES[style];
        let mut about = |value: f32, share: f32| value * (1.0 + random.random_range(-share..share));
        let (length, width) = (about(length, 0.05), about(1.78, 0.05));
        let (belt, roof, clearance) = (about(belt, 0.05), about(roof, 0.05), about(clearance, 0.15));
        let cabin = cabin.map(|place| place + 0.02 * (about(1.0, 0.9) - 1.0));
        let (hood_drop, wheel, inset) = (about(0.14, 0.5), about(0.33, 0.1), about(0.20, 0.35));
        let (lamp, grille, hub) = (about(0.34, 0.35), about(0.5, 0.4), about(0.62, 0.25));
        let paint = paint(random);
        let roof_paint = if random.random_bool(0.15) { [0.12; 3] } else { paint };
        Self {
            style,
            length,
            width,
            belt,
            roof,
            clearance,
            cabin,
            hood_drop,
            wheel,
            inset,
            paint,
            roof_paint,
            hub,
            lamp,
            grille,
        }
    }

    /// The car between the body styles that these weights (through softmax) make of them, with proportions and colour of
    /// these 18 numbers in [-1, 1].
    pub(super) fn blended(styles: [f32; STYLES.len()], unit: &[f32; 18]) -> Self {
        let most = styles.iter().copied().fold(f32::MIN, f32::max);
        let shares = styles.map(|style| (SHARPNESS * (style - most)).exp());
        let sum: f32 = shares.iter().sum();
        let mean = |of: fn(&Style, usize) -> f32, i: usize| {
            STYLES.iter().zip(&shares).map(|(style, share)| of(style, i) * share / sum).sum::<f32>()
        };
        let about = |value: f32, i: usize, share: f32| value * (1.0 + share * unit[i]);
        let paint = [15, 16, 17].map(|i| 0.5 + 0.45 * unit[i]);
        Self {
            style: (0..STYLES.len()).max_by(|&a, &b| styles[a].total_cmp(&styles[b])).unwrap_or(0),
            length: about(mean(|style, _| style.3, 0), 0, 0.05),
            width: about(1.78, 1, 0.05),
            belt: about(mean(|style, _| style.1, 0), 2, 0.05),
            roof: about(mean(|style, _| style.2, 0), 3, 0.05),
            clearance: about(mean(|style, _| style.4, 0), 4, 0.15),
            cabin: std::array::from_fn(|i| mean(|style, i| style.0[i], i) + 0.018 * unit[5 + i]),
            hood_drop: about(0.14, 9, 0.5),
            wheel: about(0.33, 10, 0.1),
            inset: about(0.20, 11, 0.35),
            lamp: about(0.34, 12, 0.35),
            grille: about(0.5, 13, 0.4),
            hub: about(0.62, 14, 0.25),
            paint,
            roof_paint: paint,
        }
    }

    /// All faces, in the car's own directions with the ground at height 0.
    pub(super) fn faces(&self) -> Vec<Face> {
        let mut faces = Vec::with_capacity(160);
        self.shadow(&mut faces);
        self.body(&mut faces);
        self.cabin(&mut faces);
        self.front(&mut faces);
        self.wheels(&mut faces);
        faces
    }

    /// The place along the car of a share of its length, counted from the rear.
    fn along(&self, share: f32) -> f32 {
        (share - 0.5) * self.length
    }

    fn shadow(&self, faces: &mut Vec<Face>) {
        for (grow, grey) in [(0.22, 0.88), (0.08, 0.78), (-0.08, 0.66)] {
            let (long, wide) = (0.5 * self.length + grow, 0.5 * self.width + grow);
            let corner = |i: usize| {
                let (sine, cosine) = (TAU * i as f32 / 16.0).sin_cos();
                let square = |value: f32| value.signum() * value.abs().powf(0.5);
                // Each a little higher than the one around it, so that it is seen.
                [long * square(cosine), -0.01 * grow, wide * square(sine)]
            };
            faces.push(Face { corners: (0..16).map(corner).collect(), material: Material::Even([grey; 3]) });
        }
    }

    /// The outline of the lower body from the side, all around.
    fn outline(&self) -> Vec<[f32; 2]> {
        let (low, belt) = (self.clearance, self.belt);
        let front = belt - self.hood_drop;
        let half = 0.5 * self.length;
        let foot = self.along(self.cabin[3]);
        vec![
            [-half, low + 0.12],
            [-half + 0.03, belt - 0.06],
            [-half + 0.12, belt],
            [foot.min(half - 0.2), belt],
            [half - 0.10, front],
            [half, front - 0.12],
            [half + 0.02, low + 0.22],
            [half - 0.05, low],
            [-half + 0.1, low],
        ]
    }

    fn body(&self, faces: &mut Vec<Face>) {
        let outline = self.outline();
        let wide = 0.5 * self.width;
        let paint = Material::Paint(self.paint);
        for side in [-1.0, 1.0] {
            let at = |point: &[f32; 2]| [point[0], point[1], side * wide];
            faces.push(Face { corners: outline.iter().map(at).collect(), material: paint });
            // Sills, and the gap of the doors.
            let (low, half) = (self.clearance, 0.5 * self.length);
            let out = side * (wide + 0.012);
            faces.push(quad([-half * 0.62, low], [half * 0.62, low + 0.10], out, Material::Even([0.10; 3])));
            let belt = self.belt;
            for share in [0.48, self.cabin[3] - 0.02] {
                let x = self.along(share);
                let dark = Material::Paint(self.paint.map(|value| 0.45 * value));
                faces.push(quad([x - 0.015, low + 0.12], [x + 0.015, belt], out, dark));
            }
        }
        for i in 0..outline.len() {
            let (a, b) = (outline[i], outline[(i + 1) % outline.len()]);
            let corners = vec![[a[0], a[1], wide], [b[0], b[1], wide], [b[0], b[1], -wide], [a[0], a[1], -wide]];
            faces.push(Face { corners, material: paint });
        }
    }

    fn cabin(&self, faces: &mut Vec<Face>) {
        let [rear, rear_roof, front_roof, front] = self.cabin.map(|share| self.along(share));
        let (foot, top) = (0.5 * self.width - 0.03, 0.5 * self.width - self.inset);
        let (belt, roof) = (self.belt - 0.01, self.roof);
        let low = |x: f32, side: f32| [x, belt, side * foot];
        let high = |x: f32, side: f32| [x, roof, side * top];
        let walls = [
            [low(front, 1.0), low(front, -1.0), high(front_roof, -1.0), high(front_roof, 1.0)],
            [low(rear, 1.0), low(rear, -1.0), high(rear_roof, -1.0), high(rear_roof, 1.0)],
            [low(rear, 1.0), low(front, 1.0), high(front_roof, 1.0), high(rear_roof, 1.0)],
            [low(rear, -1.0), low(front, -1.0), high(front_roof, -1.0), high(rear_roof, -1.0)],
        ];
        for (i, wall) in walls.iter().enumerate() {
            faces.push(Face { corners: wall.to_vec(), material: Material::Paint(self.paint) });
            if i < 2 {
                faces.push(pane(wall, [0.06, 0.94], [0.08, 0.92]));
                continue;
            }
            // Side windows on both sides of a pillar; vans and pick-ups have one.
            match self.style {
                5 => faces.push(pane(wall, [0.08, 0.92], [0.10, 0.88])),
                6 => faces.push(pane(wall, [0.60, 0.94], [0.10, 0.88])),
                _ => {
                    faces.push(pane(wall, [0.07, 0.46], [0.10, 0.88]));
                    faces.push(pane(wall, [0.51, 0.93], [0.10, 0.88]));
                }
            }
        }
        let lid = vec![high(rear_roof, 1.0), high(front_roof, 1.0), high(front_roof, -1.0), high(rear_roof, -1.0)];
        faces.push(Face { corners: lid, material: Material::Paint(self.roof_paint) });
    }

    /// Lamps, grille, number plate and bumper.
    fn front(&self, faces: &mut Vec<Face>) {
        let (half, wide) = (0.5 * self.length + 0.03, 0.5 * self.width);
        let top = self.belt - self.hood_drop - 0.14;
        let low = self.clearance;
        let mut flat = |left: [f32; 2], up: [f32; 2], material: Material| {
            let corners =
                vec![[half, up[0], left[0]], [half, up[0], left[1]], [half, up[1], left[1]], [half, up[1], left[0]]];
            faces.push(Face { corners, material });
        };
        let height = top - low;
        let lamps = [top - 0.34 * height, top - 0.04];
        for side in [-1.0, 1.0] {
            flat([side * (wide - 0.06), side * (wide - 0.06 - self.lamp)], lamps, Material::Even([0.97, 0.96, 0.88]));
        }
        let grille = self.grille * (wide - 0.1 - self.lamp).max(0.1);
        flat([-grille, grille], [top - 0.42 * height, top - 0.06], Material::Even([0.13; 3]));
        flat([-wide + 0.04, wide - 0.04], [low + 0.02, low + 0.20], Material::Even([0.22; 3]));
        flat([-0.26, 0.26], [low + 0.22, low + 0.34], Material::Even([0.93; 3]));
    }

    fn wheels(&self, faces: &mut Vec<Face>) {
        let radius = self.wheel;
        let out = 0.5 * self.width + 0.015;
        for place in [self.along(0.19), self.along(0.81)] {
            for side in [-1.0, 1.0] {
                let ring = |radius: f32, depth: f32| -> Vec<Point> {
                    let corner = |i: usize| {
                        let (sine, cosine) = (TAU * i as f32 / 18.0).sin_cos();
                        [place + radius * cosine, self.wheel + radius * sine, side * (out - depth)]
                    };
                    (0..18).map(corner).collect()
                };
                let (outer, inner) = (ring(radius, 0.0), ring(radius, 0.24));
                for i in 0..18 {
                    let j = (i + 1) % 18;
                    let corners = vec![outer[i], outer[j], inner[j], inner[i]];
                    faces.push(Face { corners, material: Material::Paint([0.10; 3]) });
                }
                faces.push(Face { corners: ring(radius * 1.14, 0.008), material: Material::Even([0.07; 3]) });
                faces.push(Face { corners: outer, material: Material::Paint([0.13; 3]) });
                faces.push(Face { corners: ring(radius * 0.62, -0.006), material: Material::Paint([self.hub; 3]) });
            }
        }
    }
}

/// An upright rectangle along the car.
fn quad(from: [f32; 2], to: [f32; 2], side: f32, material: Material) -> Face {
    let corners = vec![[from[0], from[1], side], [to[0], from[1], side], [to[0], to[1], side], [from[0], to[1], side]];
    Face { corners, material }
}

/// A window in a wall of four corners (two below, two above), a little before it: shares along the wall and upwards.
fn pane(wall: &[Point; 4], along: [f32; 2], up: [f32; 2]) -> Face {
    let mix = |a: Point, b: Point, share: f32| [0, 1, 2].map(|i| a[i] + (b[i] - a[i]) * share);
    let at = |u: f32, v: f32| mix(mix(wall[0], wall[1], u), mix(wall[3], wall[2], u), v);
    let mut corners = vec![at(along[0], up[0]), at(along[1], up[0]), at(along[1], up[1]), at(along[0], up[1])];
    // Outwards is away from the middle of the car, and upwards.
    let middle = [0, 1, 2].map(|i| corners.iter().map(|corner| corner[i]).sum::<f32>() / 4.0);
    let (u, v) = (minus(corners[1], corners[0]), minus(corners[3], corners[0]));
    let normal = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    let length = dot(normal, normal).sqrt().max(1e-9);
    let sign = if dot(normal, [middle[0], 0.4, middle[2]]) < 0.0 { -0.02 } else { 0.02 };
    corners.iter_mut().for_each(|corner| (0..3).for_each(|i| corner[i] += sign * normal[i] / length));
    Face { corners, material: Material::Glass }
}

/// A colour that cars have: white, silver, grey, black, or a bright one.
fn paint(random: &mut StdRng) -> [f32; 3] {
    let value: f32 = random.random_range(0.0..1.0);
    if value < 0.35 {
        let grey = [0.92, 0.70, 0.45, 0.14][random.random_range(0..4)] + random.random_range(-0.04..0.04);
        return [grey, grey, grey + 0.02];
    }
    let hue: f32 = random.random_range(0.0..6.0);
    let (strong, light) = (random.random_range(0.5..0.9), random.random_range(0.45..0.95));
    // From hue, saturation and value.
    [5.0, 3.0, 1.0].map(|shift| {
        let k = (shift + hue) % 6.0;
        light * (1.0 - strong * k.min(4.0 - k).clamp(0.0, 1.0))
    })
}
