//! Hosts whose names are no paths with slashes: the files of the initial directory can be listed, downloaded and
//! uploaded.

use std::fs;

use super::stand::Stand;

/// A host, the names of two of its files as its listings have them, and the name of one that is uploaded.
const HOSTS: [(&str, [&str; 2], &str); 3] = [
    ("zos", ["PAY.JAN", "LEDGER"], "PAY.FEB"),
    ("vms", ["PAY.DAT", "LEDGER.TXT"], "PAY2.DAT"),
    ("as400", ["PAY.FILE", "LEDGER.FILE"], "PAY2.FILE"),
];

#[test]
fn files_of_the_folder_one_lands_in_are_listed_and_fetched() {
    for (host, names, _) in HOSTS {
        let stand = Stand::new(host, &[]);
        for name in names {
            fs::write(stand.there(name), format!("bytes of {name}")).unwrap();
        }
        let came = stand.run(&["ls", &stand.url("")]);
        assert_eq!(came.code, 0, "{host}: {}", came.said);
        for name in names {
            assert!(came.said.contains(name), "{host}: {}", came.said);
            let came = stand.run(&["get", &stand.url(name), "got"]);
            assert_eq!(came.code, 0, "{host}: {}", came.said);
            assert_eq!(fs::read_to_string(stand.here("got")).unwrap(), format!("bytes of {name}"));
            fs::remove_file(stand.here("got")).unwrap();
        }
    }
}

#[test]
fn a_file_is_sent_whole_under_its_name_or_the_run_fails_and_leaves_nothing() {
    for (host, names, sent) in HOSTS {
        let stand = Stand::new(host, &[]);
        fs::write(stand.there(names[0]), "what was there").unwrap();
        stand.write("up", "what is sent");
        let came = stand.run(&["put", "up", &stand.url(sent)]);
        let there = stand.server_files();
        let is_sent = there.contains_key(&b"what is sent"[..]);
        assert_eq!(is_sent, came.code == 0, "{host}: {}", came.said);
        assert_eq!(there.len(), if is_sent { 2 } else { 1 }, "{host}: {there:?}");
        assert!(there.contains_key(&b"what was there"[..]), "{host}: {there:?}");
        assert!(is_sent || came.said.contains(sent), "{host}: {}", came.said);
    }
}
