//! The test tone of the settings: one short sound through rodio, beside whatever plays.

use std::time::{Duration, Instant};

use rodio::{
    DeviceSinkBuilder, MixerDeviceSink, Player, Source as _, source::SineWave,
    stream::DeviceSinkError,
};

const TONE_HZ: f32 = 440.0;
const TONE: Duration = Duration::from_millis(700);
const GAIN_DB: f32 = -15.0;

/// Longest time between the tone's end in the mixer and in the ear.
const DEVICE_DELAY: Duration = Duration::from_millis(300);

/// A tone that sounds until it is dropped, or its end.
pub(super) struct Tone {
    ends: Instant,
    _player: Player,
    _sink: MixerDeviceSink,
}

impl Tone {
    pub(super) fn start(device: cpal::Device) -> Result<Self, DeviceSinkError> {
        let mut sink = DeviceSinkBuilder::from_device(device)?
            .with_error_callback(|error| tracing::debug!(%error, "test tone"))
            .open_stream()?;
        sink.log_on_drop(false);
        let player = Player::connect_new(sink.mixer());
        let mut tone = SineWave::new(TONE_HZ).take_duration(TONE);
        tone.set_filter_fadeout();
        player.append(tone.amplify_decibel(GAIN_DB).fade_in(Duration::from_millis(10)));
        Ok(Self { ends: Instant::now() + TONE + DEVICE_DELAY, _player: player, _sink: sink })
    }

    /// Time until it has been heard.
    pub(super) fn left(&self) -> Duration {
        self.ends.saturating_duration_since(Instant::now())
    }
}
