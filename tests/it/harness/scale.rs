//! How often tests do what they do many times.

/// `count`, or so many times as many as the environment's `PORTCULLIS_TEST_SCALE` says.
pub fn scaled(count: usize) -> usize {
    let scale = std::env::var("PORTCULLIS_TEST_SCALE").map_or(Ok(1), |text| text.parse::<usize>());
    count * scale.expect("PORTCULLIS_TEST_SCALE is a number")
}
