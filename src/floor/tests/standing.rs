//! Who waits for a floor.

use super::super::{Floor, NO_FLOOR, Standing};
use std::time::Duration;

use tokio::time::sleep;

const SOON: Duration = Duration::from_millis(20);

#[tokio::test]
async fn whoever_waits_is_told_once_it_is_there_or_why_it_is_not() {
    assert_eq!(Floor::default().reaches(0, sleep(SOON)).await, Err(NO_FLOOR.to_owned()));
    let floor = Floor::new(Standing::Begins);
    assert!(floor.reaches(1, sleep(SOON)).await.unwrap_err().contains("being begun"));
    floor.holds(5, true);
    assert_eq!(floor.reaches(5, sleep(SOON)).await, Ok(()));
    assert!(floor.reaches(6, sleep(SOON)).await.unwrap_err().contains("holds entry 5"));
    let waiting = tokio::spawn({
        let floor = floor.clone();
        async move { floor.reaches(6, sleep(Duration::from_mins(1))).await }
    });
    floor.holds(6, false);
    assert_eq!(waiting.await.unwrap(), Ok(()));
    floor.fails("full".to_owned());
    assert_eq!(floor.reaches(6, sleep(SOON)).await, Ok(()), "what it holds it holds");
    assert_eq!(floor.reaches(7, sleep(Duration::from_mins(1))).await, Err("full".to_owned()));
    // What was sealed off must not be built upon, whatever it holds.
    floor.ends("sealed".to_owned());
    assert_eq!(floor.reaches(6, sleep(SOON)).await, Err("sealed".to_owned()));
    assert_eq!(floor.status().written, 1);
}
