//! Graphs of nodes with features and classes, from three text files.
//!
//! - `NAME_nodes.csv`: a header `node,label,split`, then a line for each node, numbered from 0. The
//!   split is `train`, `valid`, `test`, or empty for a node that is in no part.
//! - `NAME_edges.csv`: a header `source,target`, then a line for each edge; edges have no direction.
//! - `NAME_features.txt`: a line for each node with the numbers of the features that it has,
//!   separated by spaces; all others are 0.
//!
//! Each may be compressed (`.gz`). This is how the citation graphs that papers measure on (Cora and
//! the others with the split of Yang et al., 2016) fit into text.

use std::path::Path;

use gradus_core::{Array, Code, DType, Error, Result};

use crate::source::Input;

/// A graph with features and a class for each node; [`GraphData::open`] says where from.
#[derive(Clone, Debug)]
pub struct GraphData {
    /// `[nodes, features]`, f32.
    pub features: Array,
    /// `[2, edges]` of i64: where each edge comes from, and where it goes to. Each edge of the file
    /// is there both ways.
    pub edge_index: Array,
    /// The class of each node, `[nodes]` of i64.
    pub labels: Array,
    /// Numbers of the nodes to train on, i64.
    pub train: Array,
    /// Numbers of the nodes to choose a model by, i64.
    pub valid: Array,
    /// Numbers of the nodes to test on, i64.
    pub test: Array,
}

/// More features than this are a damaged file: a dense matrix is made of them.
const MOST_FEATURES: usize = 1 << 24;

impl GraphData {
    /// Reads `NAME_nodes.csv`, `NAME_edges.csv` and `NAME_features.txt` (or the same with `.gz`)
    /// from a folder.
    ///
    /// ```no_run
    /// let cora = gradus_data::GraphData::open("data/graph", "cora")?;
    /// assert_eq!(cora.features.dims(), [2708, 1433]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Code::Io`] for a file that cannot be read, [`Code::Format`] for one that is not as
    /// described, with its line.
    pub fn open(folder: impl AsRef<Path>, name: &str) -> Result<GraphData> {
        let text = |suffix: &str| -> Result<File> {
            let plain = folder.as_ref().join(format!("{name}_{suffix}"));
            let packed = folder.as_ref().join(format!("{name}_{suffix}.gz"));
            let path = if packed.exists() && !plain.exists() { packed } else { plain };
            File::read(Input::open(&path)?)
        };
        GraphData::parse(&text("nodes.csv")?, &text("edges.csv")?, &text("features.txt")?)
    }

    /// The same from bytes in memory, plain or compressed.
    ///
    /// ```
    /// use gradus_data::GraphData;
    /// let nodes = b"node,label,split\n0,1,train\n1,0,test\n";
    /// let graph = GraphData::from_bytes(nodes, b"source,target\n0,1\n", b"0 2\n1\n")?;
    /// assert_eq!(graph.features.to_f64(), [1.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
    /// assert_eq!(graph.edge_index.to_vec::<i64>()?, [0, 1, 1, 0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`GraphData::open`].
    pub fn from_bytes(nodes: &[u8], edges: &[u8], features: &[u8]) -> Result<GraphData> {
        GraphData::parse(
            &File::read(Input::memory(nodes, "nodes"))?,
            &File::read(Input::memory(edges, "edges"))?,
            &File::read(Input::memory(features, "features"))?,
        )
    }

    fn parse(nodes: &File, edges: &File, features: &File) -> Result<GraphData> {
        let mut labels: Vec<i64> = Vec::new();
        let mut parts: [Vec<i64>; 3] = Default::default();
        for line in nodes.rows("node,label,split")? {
            let [node, label, split] = line.fields()?;
            let id = labels.len() as i64;
            if line.number(node)? != id as u64 {
                return Err(line.wrong(format!("node `{node}`, where node {id} should be")));
            }
            labels.push(i64::try_from(line.number(label)?).unwrap_or(i64::MAX));
            let [train, valid, test] = &mut parts;
            match split.trim() {
                "train" => train.push(id),
                "valid" => valid.push(id),
                "test" => test.push(id),
                "" => {}
                other => {
                    let text = format!("split `{other}`, not train, valid, test or nothing");
                    return Err(line.wrong(text));
                }
            }
        }
        let count = labels.len();
        let (mut source, mut target) = (Vec::new(), Vec::new());
        for line in edges.rows("source,target")? {
            let ends: [&str; 2] = line.fields()?;
            let mut ids = [0; 2];
            for (id, field) in ids.iter_mut().zip(ends) {
                let node = line.number(field)?;
                if node >= count as u64 {
                    return Err(line.wrong(format!("node {node}, but there are {count} nodes")));
                }
                *id = node as i64;
            }
            let [a, b] = ids;
            source.push(a);
            target.push(b);
            // A loop is its own way back.
            if a != b {
                source.push(b);
                target.push(a);
            }
        }
        let edges = source.len();
        source.append(&mut target);
        let [train, valid, test] = parts.map(|ids| Array::new([ids.len()], &ids));
        Ok(GraphData {
            features: features.dense(count)?,
            edge_index: Array::new([2, edges], &source)?,
            labels: Array::new([count], &labels)?,
            train: train?,
            valid: valid?,
            test: test?,
        })
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.labels.numel()
    }

    /// Number of classes: one more than the largest label.
    pub fn classes(&self) -> usize {
        let labels = self.labels.to_f64();
        labels.into_iter().fold(0.0f64, |most, label| most.max(label + 1.0)) as usize
    }
}

/// Zachary's karate club: 34 members, who met outside of it, and whom they followed when it split.
///
/// Every member is told from the others by a feature of its own. The two to train on are the
/// instructor (node 0, class 0) and the president (node 33, class 1); the test is all others. W. W.
/// Zachary, *An information flow model for conflict and fission in small groups*, Journal of
/// Anthropological Research 33, 1977; edges and factions as published there.
///
/// # Errors
/// Only when memory runs out.
pub fn karate_club() -> Result<GraphData> {
    let (mut source, mut target) = (Vec::new(), Vec::new());
    for &(a, b) in KARATE_EDGES {
        source.extend([i64::from(a), i64::from(b)]);
        target.extend([i64::from(b), i64::from(a)]);
    }
    let edges = source.len();
    source.append(&mut target);
    let labels: Vec<i64> = (0..34).map(|i| i64::from(!INSTRUCTOR.contains(&i))).collect();
    let features = Array::build::<f32>([34, 34], |out| {
        out.iter_mut().step_by(35).for_each(|v| *v = 1.0);
    })?;
    Ok(GraphData {
        features,
        edge_index: Array::new([2, edges], &source)?,
        labels: Array::new([34], &labels)?,
        train: Array::new([2], &[0i64, 33])?,
        valid: Array::zeros([0], DType::I64)?,
        test: Array::new([32], &(1..33).collect::<Vec<i64>>())?,
    })
}

/// Who met whom.
#[rustfmt::skip]
const KARATE_EDGES: &[(u8, u8)] = &[
    (0, 1), (0, 2), (0, 3), (0, 4), (0, 5), (0, 6), (0, 7), (0, 8), (0, 10), (0, 11), (0, 12),
    (0, 13), (0, 17), (0, 19), (0, 21), (0, 31), (1, 2), (1, 3), (1, 7), (1, 13), (1, 17), (1, 19),
    (1, 21), (1, 30), (2, 3), (2, 7), (2, 8), (2, 9), (2, 13), (2, 27), (2, 28), (2, 32), (3, 7),
    (3, 12), (3, 13), (4, 6), (4, 10), (5, 6), (5, 10), (5, 16), (6, 16), (8, 30), (8, 32), (8, 33),
    (9, 33), (13, 33), (14, 32), (14, 33), (15, 32), (15, 33), (18, 32), (18, 33), (19, 33),
    (20, 32), (20, 33), (22, 32), (22, 33), (23, 25), (23, 27), (23, 29), (23, 32), (23, 33),
    (24, 25), (24, 27), (24, 31), (25, 31), (26, 29), (26, 33), (27, 33), (28, 31), (28, 33),
    (29, 32), (29, 33), (30, 32), (30, 33), (31, 32), (31, 33), (32, 33),
];

/// The members who went with the instructor.
const INSTRUCTOR: [i64; 17] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 16, 17, 19, 21];

/// A text file with its name.
struct File {
    name: String,
    text: String,
}

impl File {
    fn read(mut input: Input<'_>) -> Result<File> {
        let name = input.name.clone();
        let bytes = input.read(input.most())?;
        if !input.at_end()? {
            return Err(Error::new(Code::Format, format!("{name}: has more bytes than it should")));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(File { name, text }),
            Err(_) => {
                let error = Error::new(Code::Format, format!("{name}: is not text"));
                Err(error.help("it has to be UTF-8"))
            }
        }
    }

    fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.text.lines().enumerate().map(|(i, text)| Line { file: &self.name, at: i + 1, text })
    }

    /// The lines after the header.
    fn rows(&self, header: &str) -> Result<impl Iterator<Item = Line<'_>>> {
        let mut lines = self.lines();
        match lines.next() {
            Some(line) if line.text.trim() == header => Ok(lines),
            other => {
                let have = other.map_or("nothing", |line| line.text);
                let text = format!("{}: begins with `{have}`, not `{header}`", self.name);
                Err(Error::new(Code::Format, text))
            }
        }
    }

    /// The features as a matrix.
    fn dense(&self, nodes: usize) -> Result<Array> {
        let mut ones: Vec<(usize, usize)> = Vec::new();
        let (mut rows, mut width) = (0, 0);
        for line in self.lines() {
            for field in line.text.split_ascii_whitespace() {
                let column = usize::try_from(line.number(field)?).unwrap_or(usize::MAX);
                if column >= MOST_FEATURES {
                    return Err(line.wrong(format!("feature {column} is too many")));
                }
                width = width.max(column + 1);
                ones.push((rows, column));
            }
            rows += 1;
        }
        if rows != nodes {
            let text = format!("{}: has {rows} lines for {nodes} nodes", self.name);
            return Err(Error::new(Code::Format, text).help("each node has one line, maybe empty"));
        }
        Array::build::<f32>([nodes, width], |out| {
            for (row, column) in ones {
                if let Some(slot) = out.get_mut(row * width + column) {
                    *slot = 1.0;
                }
            }
        })
    }
}

/// A line of a file, for messages.
struct Line<'a> {
    file: &'a str,
    at: usize,
    text: &'a str,
}

impl<'a> Line<'a> {
    /// Exactly so many fields between commas.
    fn fields<const N: usize>(&self) -> Result<[&'a str; N]> {
        let mut out = [""; N];
        let mut count = 0;
        for field in self.text.split(',') {
            if let Some(slot) = out.get_mut(count) {
                *slot = field;
            }
            count += 1;
        }
        if count == N { Ok(out) } else { Err(self.wrong(format!("{count} fields, not {N}"))) }
    }

    fn number(&self, field: &str) -> Result<u64> {
        let field = field.trim();
        field.parse().map_err(|_| self.wrong(format!("`{field}` is not a number from 0 up")))
    }

    fn wrong(&self, what: String) -> Error {
        Error::new(Code::Format, format!("{}, line {}: {what}", self.file, self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(nodes: &str, edges: &str, features: &str) -> String {
        GraphData::from_bytes(nodes.as_bytes(), edges.as_bytes(), features.as_bytes())
            .map_or_else(|e| e.title().to_string(), |_| String::new())
    }

    #[test]
    fn what_is_wrong_in_a_file_is_said_with_its_line() {
        let (nodes, edges) = ("node,label,split\n0,0,train\n1,1,\n", "source,target\n0,1\n");
        assert_eq!(message(nodes, edges, "0\n\n"), "");
        assert_eq!(
            message("node,label\n", edges, ""),
            "nodes: begins with `node,label`, not `node,label,split`"
        );
        assert_eq!(
            message("node,label,split\n1,0,train\n", edges, ""),
            "nodes, line 2: node `1`, where node 0 should be"
        );
        assert_eq!(
            message("node,label,split\n0,x,train\n", edges, ""),
            "nodes, line 2: `x` is not a number from 0 up"
        );
        assert_eq!(
            message("node,label,split\n0,1,dev\n", edges, ""),
            "nodes, line 2: split `dev`, not train, valid, test or nothing"
        );
        assert_eq!(
            message(nodes, "source,target\n0,2\n", "0\n\n"),
            "edges, line 2: node 2, but there are 2 nodes"
        );
        assert_eq!(message(nodes, "source,target\n0\n", "0\n\n"), "edges, line 2: 1 fields, not 2");
        assert_eq!(message(nodes, edges, "0\n"), "features: has 1 lines for 2 nodes");
        assert_eq!(
            message(nodes, edges, "0\n99999999999\n"),
            "features, line 2: feature 99999999999 is too many"
        );
    }

    #[test]
    fn edges_are_listed_both_ways_and_loops_once() {
        let nodes = b"node,label,split\n0,0,train\n1,2,test\n";
        let graph = GraphData::from_bytes(nodes, b"source,target\n0,1\n1,1\n", b"\n\n").unwrap();
        assert_eq!(graph.edge_index.to_vec::<i64>().unwrap(), [0, 1, 1, 1, 0, 1]);
        assert_eq!((graph.nodes(), graph.classes()), (2, 3));
        assert_eq!(graph.features.dims(), [2, 0]);
    }

    #[test]
    fn the_karate_club_is_the_published_one() {
        let graph = karate_club().unwrap();
        assert_eq!(graph.edge_index.dims(), [2, 156]);
        let sum: i64 = graph.labels.to_vec::<i64>().unwrap().iter().sum();
        assert_eq!((graph.nodes(), sum), (34, 17));
    }
}
