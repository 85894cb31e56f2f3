//! A computer that has a small network as a model of its list, called "small".

use std::path::Path;

use engine::{catalogue::Sha256, protocol::BlobRef};

/// A network of HTDemucs's layout with random weights.
pub(crate) const NETWORK: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../engine/tests/data/htdemucs/four.th");

/// Writes the list to `list` and the network into the folder of data `data_dir`; what the network is.
pub(crate) fn install(list: &Path, data_dir: &Path) -> BlobRef {
    let content = std::fs::read(NETWORK).unwrap();
    let blob = BlobRef { sha256: Sha256::of(&content), bytes: content.len() as u64 };
    let text = format!(
        "[[model]]\nname = \"small\"\ntitle = \"Small\"\ndescription = \"Small.\"\n\
         quality = \"Rough\"\nstems = [\"drums\", \"bass\", \"other\", \"vocals\"]\n\
         segment_frames = 44100\narchitecture = \"htdemucs\"\nlicence = \"Free\"\n\
         cost_core_secs_per_sec = 0.5\nweights_bytes = 600000\n\
         memory_bytes_per_chunk = 1000000\n[[model.file]]\n\
         url = \"http://localhost/small.th\"\nbytes = {}\nsha256 = \"{}\"\n",
        blob.bytes, blob.sha256
    );
    std::fs::write(list, text).unwrap();
    std::fs::create_dir_all(data_dir.join("models")).unwrap();
    std::fs::write(data_dir.join("models/small.th"), content).unwrap();
    blob
}
