//! Cases that were recorded twice: the archive has the arrays of the first recording and the
//! defines of the second.
//!
//! Both call their inputs and shifts by the same names, and those of the second are lost; of the
//! first all arrays are there (`input`, `weights`, `biases`, `output_mult`, `output_shift`,
//! `output_ref`). What its defines were is listed here, from the history of CMSIS-NN: but for
//! `conv_3x3_dilation_5x5_input_int4`, whose arrays lie between the two: by their lengths and
//! their output, they have the second's five channels and zero point on the first's map.

/// Defines of the first recording that the second changed; the rest is the same in both.
type Corrections = &'static [(&'static str, i32)];

const FIRST: &[(&str, Corrections)] = &[
    ("conv_1_x_n_1_int4", &[("INPUT_OFFSET", 0), ("OUT_ACTIVATION_MIN", -127), ("STRIDE_Y", 1)]),
    ("conv_1_x_n_3_int4", &[("INPUT_OFFSET", 0), ("OUT_ACTIVATION_MIN", -111)]),
    ("conv_1_x_n_4_int4", &[("INPUT_OFFSET", 0), ("OUT_ACTIVATION_MIN", -88)]),
    ("conv_1_x_n_5_int4", &[("INPUT_OFFSET", 0), ("OUT_ACTIVATION_MIN", -88)]),
    (
        "conv_2x2_dilation_5x5_input_int4",
        &[("INPUT_OFFSET", 0), ("OUT_ACTIVATION_MIN", -61), ("OUT_ACTIVATION_MAX", 107)],
    ),
    (
        "conv_2x3_dilation_int4",
        &[
            ("INPUT_OFFSET", 0),
            ("OUT_ACTIVATION_MIN", -61),
            ("OUT_ACTIVATION_MAX", 107),
            ("DILATION_Y", 2),
            ("PAD_Y", 2),
        ],
    ),
    ("conv_3_int4", &[("OUT_ACTIVATION_MIN", -127)]),
    (
        "conv_3x3_dilation_5x5_input_int4",
        &[
            ("OUT_ACTIVATION_MIN", -61),
            ("OUT_ACTIVATION_MAX", 107),
            ("INPUT_H", 11),
            ("INPUT_W", 9),
            ("OUTPUT_H", 11),
            ("OUTPUT_W", 9),
            ("DILATION_Y", 2),
            ("DILATION_X", 2),
            ("PAD_Y", 2),
            ("PAD_X", 2),
        ],
    ),
    ("conv_4_int4", &[("INPUT_OFFSET", 0), ("OUT_ACTIVATION_MIN", -109)]),
    ("conv_dilation_golden_int4", &[("INPUT_OFFSET", 0)]),
    ("kernel1x1_int4_3", &[("INPUT_OFFSET", 0), ("OUT_ACTIVATION_MIN", -126)]),
    ("kernel1x1_stride_x_int4", &[("INPUT_OFFSET", 0), ("OUT_ACTIVATION_MIN", -126)]),
    ("kernel1x1_stride_x_y_2_int4", &[("INPUT_OFFSET", 0), ("OUT_ACTIVATION_MIN", -126)]),
    ("kernel1x1_stride_x_y_int4", &[("INPUT_OFFSET", 0)]),
    ("stride2pad1_int4", &[("INPUT_OFFSET", 0)]),
];

/// The defines that belong to a case's arrays, where those of the archive do not.
pub fn first(case: &str) -> Corrections {
    FIRST.iter().find(|(name, _)| *name == case).map_or(&[], |(_, corrections)| corrections)
}
