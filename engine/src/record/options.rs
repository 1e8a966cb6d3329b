//! How a recording is to be opened.

/// What the caller knows about a recording, and how it is to be read.
///
/// ```
/// use dualnet_engine::record::OpenOptions;
/// let options = OpenOptions::new().lead("II").sampling_rate_hz(500.0);
/// # let _ = options;
/// ```
#[derive(Debug, Clone)]
pub struct OpenOptions {
    pub(super) lead: Option<String>,
    pub(super) variable: String,
    pub(super) sampling_rate_hz: Option<f64>,
    pub(super) memory_map: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            lead: None,
            variable: "val".to_owned(),
            sampling_rate_hz: None,
            memory_map: true,
        }
    }
}

impl OpenOptions {
    /// The only lead of variable `val`, at the rate the header states, memory-mapped.
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses a lead by its name, or by its index counted from 0. A name wins over an index.
    pub fn lead(mut self, lead: impl Into<String>) -> Self {
        self.lead = Some(lead.into());
        self
    }

    /// The variable of a `.mat` file that holds the samples, `val` unless said otherwise.
    pub fn variable(mut self, variable: impl Into<String>) -> Self {
        self.variable = variable.into();
        self
    }

    /// States the sampling rate of a recording whose files do not; a header that states another one is an error.
    pub fn sampling_rate_hz(mut self, hz: f64) -> Self {
        self.sampling_rate_hz = Some(hz);
        self
    }

    /// Whether regular files are memory-mapped (the default) or read.
    ///
    /// A map follows the file: if another process shortens the file while it is being decoded, the operating system
    /// ends this process (SIGBUS on Unix). Read files that are still being written, and files on network drives.
    pub fn memory_map(mut self, map: bool) -> Self {
        self.memory_map = map;
        self
    }
}
