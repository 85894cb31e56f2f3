//! Files of models that a main PC sends: resumed, checked, refused.

mod rig;
#[path = "../../engine/tests/small_disk/mod.rs"]
mod small_disk;

use std::sync::Arc;

use engine::{
    ErrorKind,
    catalogue::Sha256,
    protocol::BlobRef,
    remote::{Prepared, Workshop},
};
use rig::{MainPc, Ordered, chunk_order, computed_here, input, shop_config};
use small_disk::{fill_disk, run_on_small_disk, small_disk};
use stemhive_worker::{
    log::Log,
    shop::{Allowed, Shop},
};

fn shop_with(dir: &std::path::Path, main: &MainPc, knows: bool) -> Arc<Shop> {
    let list = knows.then(|| main.list());
    Shop::open(shop_config(dir, list), Log::new(true)).unwrap()
}

#[test]
fn a_model_comes_in_pieces_and_computes_as_on_the_main_pc() {
    let (main, dir) = (MainPc::new(), tempfile::tempdir().unwrap());
    let shop = shop_with(dir.path(), &main, true);
    let (order, content) = (main.order(), main.content());
    // Before anything was ordered nothing is taken.
    assert_eq!(shop.receive(&main.blob).err().unwrap().kind, ErrorKind::Denied);
    assert_eq!(shop.prepare(&order), Prepared::Lacks(vec![main.blob]));

    let mut sink = shop.receive(&main.blob).unwrap();
    assert_eq!(sink.have_bytes(), 0);
    // Two at once do not get into each other's way.
    assert_eq!(shop.receive(&main.blob).err().unwrap().kind, ErrorKind::Busy);
    sink.write(&content[..100_000]).unwrap();
    drop(sink);
    let sink = shop.receive(&main.blob).unwrap();
    assert_eq!(sink.have_bytes(), 100_000);
    // Too early; what came stays.
    assert_eq!(sink.finish().unwrap_err().kind, ErrorKind::Network);
    assert_eq!(shop.prepare(&order), Prepared::Lacks(vec![main.blob]));
    let mut sink = shop.receive(&main.blob).unwrap();
    assert_eq!(sink.have_bytes(), 100_000);
    content[100_000..].chunks(50_000).for_each(|block| sink.write(block).unwrap());
    sink.finish().unwrap();

    assert_eq!(shop.prepare(&order), Prepared::Ready { slots: 1 });
    assert!(shop.hello().models.contains(&order.hash));
    let input = input(main.separator.as_ref());
    let (chunk, pcm) = chunk_order(&order, &input);
    let here = computed_here(main.separator.as_ref(), &input);
    assert!(Ordered::of(&shop, chunk, pcm).result() == here);

    // A worker that was restarted has it.
    drop(shop);
    let shop = shop_with(dir.path(), &main, true);
    assert_eq!(shop.prepare(&order), Prepared::Ready { slots: 1 });
}

#[test]
fn wrong_bytes_are_thrown_away() {
    let (main, dir) = (MainPc::new(), tempfile::tempdir().unwrap());
    let shop = shop_with(dir.path(), &main, true);
    let (order, content) = (main.order(), main.content());
    shop.prepare(&order);

    let mut flipped = content.clone();
    flipped[1234] ^= 4;
    let mut sink = shop.receive(&main.blob).unwrap();
    sink.write(&flipped).unwrap();
    assert_eq!(sink.finish().unwrap_err().kind, ErrorKind::Damaged);

    let mut sink = shop.receive(&main.blob).unwrap();
    assert_eq!(sink.have_bytes(), 0);
    sink.write(&content).unwrap();
    assert_eq!(sink.write(&[0]).unwrap_err().kind, ErrorKind::Damaged);
    drop(sink);
    assert_eq!(shop.receive(&main.blob).unwrap().have_bytes(), 0);
    assert_eq!(shop.prepare(&order), Prepared::Lacks(vec![main.blob]));
    let models = std::fs::read_dir(dir.path().join("models")).unwrap().flatten();
    let whole: Vec<_> = models.map(|file| file.file_name()).collect();
    assert_eq!(whole, ["incoming"]);
}

#[test]
fn a_file_that_was_spoilt_is_wanted_again() {
    let (main, dir) = (MainPc::new(), tempfile::tempdir().unwrap());
    let mut spoilt = main.content();
    spoilt[5000] ^= 1;
    std::fs::create_dir_all(dir.path().join("models")).unwrap();
    std::fs::write(dir.path().join("models/small.th"), spoilt).unwrap();
    let shop = shop_with(dir.path(), &main, true);
    assert_eq!(shop.prepare(&main.order()), Prepared::Lacks(vec![main.blob]));
    let mut sink = shop.receive(&main.blob).unwrap();
    sink.write(&main.content()).unwrap();
    sink.finish().unwrap();
    assert_eq!(shop.prepare(&main.order()), Prepared::Ready { slots: 1 });
}

#[test]
fn models_outside_the_list_need_the_owners_word() {
    let (main, dir) = (MainPc::new(), tempfile::tempdir().unwrap());
    let shop = shop_with(dir.path(), &main, false);
    let order = main.order();
    let refusal = |order| match shop.prepare(order) {
        Prepared::Refused { why } => why,
        other => panic!("{other:?}"),
    };
    let hash = Allowed::name_of(&order);
    let why = refusal(&order);
    assert!(why.contains(&format!("stemhive-worker allow {hash}")), "{why}");
    assert_eq!(shop.receive(&main.blob).err().unwrap().kind, ErrorKind::Denied);

    let allowed = Allowed::new(dir.path());
    allowed.allow(&Sha256::of(b"another")).unwrap();
    refusal(&order);
    allowed.allow(&hash.parse().unwrap()).unwrap();
    assert_eq!(shop.prepare(&order), Prepared::Lacks(vec![main.blob]));
    let mut sink = shop.receive(&main.blob).unwrap();
    sink.write(&main.content()).unwrap();
    sink.finish().unwrap();
    assert_eq!(shop.prepare(&order), Prepared::Ready { slots: 1 });
    let input = input(main.separator.as_ref());
    let (chunk, pcm) = chunk_order(&order, &input);
    let here = computed_here(main.separator.as_ref(), &input);
    assert!(Ordered::of(&shop, chunk, pcm).result() == here);
    allowed.clear().unwrap();
    let mut other = order.clone();
    other.files = vec![BlobRef { sha256: Sha256::of(b"other"), bytes: 5 }];
    other.hash[3] ^= 1;
    refusal(&other);

    // What is no model is not kept, and what no disk could hold does not begin.
    allowed.allow_any().unwrap();
    assert_eq!(shop.prepare(&other), Prepared::Lacks(other.files.clone()));
    let mut sink = shop.receive(&other.files[0]).unwrap();
    sink.write(b"other").unwrap();
    let error = sink.finish().unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Damaged | ErrorKind::Unsupported), "{error}");
    assert_eq!(shop.receive(&other.files[0]).unwrap().have_bytes(), 0);
    let huge = BlobRef { sha256: Sha256::of(b"huge"), bytes: u64::MAX };
    (other.files, other.hash[3]) = (vec![huge], 77);
    assert_eq!(shop.prepare(&other), Prepared::Lacks(vec![huge]));
    assert_eq!(shop.receive(&huge).err().unwrap().kind, ErrorKind::TooLarge);
}

#[test]
fn on_a_small_disk() {
    let Some(disk) = small_disk() else { return };
    let main = MainPc::new();
    let shop = shop_with(&disk, &main, true);
    assert_eq!(shop.prepare(&main.order()), Prepared::Lacks(vec![main.blob]));
    let error = shop.receive(&main.blob).err().unwrap();
    assert_eq!(error.kind, ErrorKind::DiskFull);
    assert!(error.advice.unwrap().contains("models"));
    assert_eq!(half_files(&disk), Vec::<String>::new());
}

/// What came of files and is not whole.
fn half_files(dir: &std::path::Path) -> Vec<String> {
    let there = std::fs::read_dir(dir.join("models/incoming")).unwrap().flatten();
    let names = there.map(|file| file.file_name().into_string().unwrap());
    names.filter(|name| !name.ends_with(".lock")).collect()
}

#[test]
fn a_file_for_which_there_is_no_room_does_not_begin_to_come() {
    // Some is always left free, more than this disk has.
    run_on_small_disk("on_a_small_disk", "32m");
}

#[test]
fn on_a_disk_that_others_fill() {
    let Some(disk) = small_disk() else { return };
    let main = MainPc::new();
    let shop = shop_with(&disk, &main, true);
    shop.prepare(&main.order());
    let content = main.content();
    let mut sink = shop.receive(&main.blob).unwrap();
    sink.write(&content[..100_000]).unwrap();
    fill_disk(&disk.join("filler"), 50_000);
    assert_eq!(sink.write(&content[100_000..]).unwrap_err().kind, ErrorKind::DiskFull);
    drop(sink);
    assert_eq!(half_files(&disk), Vec::<String>::new());
    // With room it comes from the beginning.
    std::fs::remove_file(disk.join("filler")).unwrap();
    let mut sink = shop.receive(&main.blob).unwrap();
    assert_eq!(sink.have_bytes(), 0);
    sink.write(&content).unwrap();
    sink.finish().unwrap();
    assert_eq!(shop.prepare(&main.order()), Prepared::Ready { slots: 1 });
}

#[test]
fn a_file_that_fills_the_disk_leaves_nothing_behind() {
    run_on_small_disk("on_a_disk_that_others_fill", "80m");
}
