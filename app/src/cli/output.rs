//! Writing what a command made.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use engine::export::{self, ExportPhase, ExportRequest, Exported};

use super::{
    context::{Context, Failure, Look},
    report::{Progress, Reporter, Stage},
};

/// Runs an export to its end and tells what the user should know about it.
pub(super) fn export(
    context: &mut Context,
    request: ExportRequest,
) -> Result<Arc<Exported>, Failure> {
    let handle = export::start(request, context.bell.waker());
    let look = |_: &Reporter| {
        let status = handle.status();
        match status.phase {
            ExportPhase::Preparing | ExportPhase::Writing => {
                Look::Running(Progress::new(Stage::Export, status.fraction))
            }
            ExportPhase::Done(_) | ExportPhase::Failed(_) | ExportPhase::Cancelled => {
                Look::Ended(())
            }
        }
    };
    context.follow(look, || handle.cancel());
    let exported = handle.wait()?;
    exported.warnings.iter().for_each(|warning| context.reporter.note(warning));
    Ok(exported)
}

/// One folder per song inside a folder of results, named like the song's file. Songs of one run
/// never share one; what lies in it from earlier runs is the export's concern.
#[derive(Debug)]
pub(super) struct SongFolders {
    parent: PathBuf,
    /// In lower case, as some file systems see names.
    given: HashSet<String>,
}

impl SongFolders {
    pub(super) fn new(parent: &Path) -> Self {
        Self { parent: parent.to_owned(), given: HashSet::new() }
    }

    pub(super) fn choose(&mut self, song: &Path) -> PathBuf {
        let stem = song.file_stem().unwrap_or(song.as_os_str()).to_string_lossy();
        let base = export::safe_name(&stem);
        let name = std::iter::once(base.clone())
            .chain((2u32..).map(|n| format!("{base} {n}")))
            .find(|name| !self.given.contains(&name.to_lowercase()))
            .unwrap_or(base);
        self.given.insert(name.to_lowercase());
        self.parent.join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn songs_of_one_name_get_folders_of_their_own() {
        let mut folders = SongFolders::new(Path::new("out"));
        for (song, folder) in [
            ("a/Song.mp3", "out/Song"),
            ("b/song.flac", "out/song 2"),
            ("Song 2.mp3", "out/Song 2 2"),
            ("Ünï.mp3", "out/Ünï"),
        ] {
            assert_eq!(folders.choose(Path::new(song)), Path::new(folder));
        }
    }
}
