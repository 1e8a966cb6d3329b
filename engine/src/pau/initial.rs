//! The published initial coefficients, by name.
//!
//! They are the fits of Molina, Schramowski and Kersting (2019) as published with the original ECG-DualNet code.

/// Initial coefficients: numerator `a_0 …`, denominator `b_1 …`.
pub type Coefficients = (&'static [f64], &'static [f64]);

/// The fit every published ECG-DualNet starts from: a leaky ReLU, order 5/4.
pub const DEFAULT: &str = "pade_optimized_leakyrelu";

/// Every name [`initial`] knows, spelled as published.
pub const NAMES: [&str; 7] = [
    "pade_sigmoid_3",
    "pade_sigmoid_5",
    "pade_softplus",
    "pade_optimized_avg",
    "pade_optimized_leakyrelu",
    "pade_optimized_leakyrelu2",
    "pade_optmized",
];

/// The fit of this name.
pub fn initial(name: &str) -> Option<Coefficients> {
    Some(match name {
        "pade_sigmoid_3" => (&[0.5, 0.25, 0.05, 0.004166666666666667], &[0.0, 0.1]),
        "pade_sigmoid_5" => (
            &[
                0.5,
                0.25,
                0.050595238095238096,
                0.004464285714285714,
                0.0,
                -2.48015873015873e-05,
            ],
            &[0.0, 0.1],
        ),
        "pade_softplus" => (
            &[
                std::f64::consts::LN_2,
                0.5,
                0.17120981203732968,
                0.03333333333333333,
                0.003125,
            ],
            &[0.01, 0.06666666666666667],
        ),
        "pade_optimized_avg" => (
            &[0.15775171, 0.74704865, 0.82560348, 1.61369449, 0.6371632, 0.10474671],
            &[0.38940287, 2.19787666, 0.30977883, 0.15976778],
        ),
        "pade_optimized_leakyrelu" => (
            &[
                0.0335583603,
                0.505000375,
                1.65343934,
                2.01001052,
                0.931901999,
                0.152424124,
            ],
            &[3.30847488e-06, 3.98021568, 5.12471206e-07, 0.301830109],
        ),
        "pade_optimized_leakyrelu2" => (
            &[0.1494, 0.8779, 1.8259, 2.4658, 1.6976, 0.4414],
            &[0.0878, 3.3983, 0.0055, 0.3488],
        ),
        "pade_optmized" => (
            &[
                0.0034586860882628158,
                -0.41459839329894876,
                4.562452712166459,
                -16.314813244428276,
                18.091669531543833,
                0.23550876048241304,
            ],
            &[
                3.0849791873233383e-28,
                3.2072596311394997e-27,
                1.0781647589819156e-28,
                11.493453196161223,
            ],
        ),
        _ => return None,
    })
}
