//! A table: a file that was seen once from end to end.

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use gradus_core::{Code, Error, Result};

use crate::table::block::{Block, Cells, Type, parse};
use crate::table::dialect::{Dialect, detect};
use crate::table::fields::last_record_end;
use crate::table::number::Missing;
use crate::table::options::{ReadOptions, Storage};
use crate::table::pump::{BLOCK, BOM, Job, Pump};
use crate::table::schema::ColumnInfo;
use crate::table::source::{Source, refuse};
use crate::table::stats::Stats;
use crate::table::task::find;

/// Bytes that separators, the header and types are guessed from.
const HEAD: usize = 1 << 18;

/// A table of text as typed columns, in memory or, above a size, read again for each pass.
///
/// Cells are separated by `,` `;` `|`, tabs or spaces; they may be quoted (RFC 4180); lines end in
/// any usual way; gzip is told by the content. What is found out can be overridden in
/// [`ReadOptions`]. A column is one of numbers when all its values are; otherwise of text.
///
/// ```
/// use gradus_data::table::{Kind, ReadOptions, Table};
///
/// let csv = "name,age\nAda,36\nAlan,?\n\"Hopper, Grace\",85\n";
/// let table = Table::from_bytes("people", csv, &ReadOptions::new())?;
/// assert_eq!((table.rows(), table.names()), (3, vec!["name", "age"]));
/// assert_eq!(table.columns()[1].kind(), Kind::Number);
/// assert_eq!(table.columns()[1].missing(), 1);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Table(Arc<Inner>);

struct Inner {
    name: String,
    source: Source,
    dialect: Dialect,
    options: ReadOptions,
    types: Vec<Type>,
    rows: usize,
    stats: Vec<Stats>,
    columns: Vec<ColumnInfo>,
    notes: Vec<String>,
    /// `None`: too large, parsed again for each pass.
    blocks: Option<Vec<Arc<Block>>>,
    block: usize,
}

impl Table {
    /// Reads a file, plain or gzip. A pipe is read once and kept.
    ///
    /// # Errors
    /// [`Code::Io`] when it cannot be read, [`Code::Data`] when it is not a table: a folder,
    /// another format, another encoding than UTF-8, nothing but a header, rows of different
    /// lengths (with the line), two columns of one name, a quote that is not closed.
    pub fn open(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Table> {
        let path = path.as_ref();
        let source = Source::path(path, options)?;
        Table::new(path.display().to_string(), source, options, BLOCK)
    }

    /// Reads anything that can be read, such as the standard input; `name` is shown in messages.
    /// What is too large for memory goes to a temporary file.
    ///
    /// # Errors
    /// As [`open`](Table::open).
    pub fn from_reader(
        name: impl Into<String>,
        reader: impl Read,
        options: &ReadOptions,
    ) -> Result<Table> {
        let name = name.into();
        let source = Source::reader(&name, reader, options)?;
        Table::new(name, source, options, BLOCK)
    }

    /// Reads bytes in memory; `name` is shown in messages.
    ///
    /// # Errors
    /// As [`open`](Table::open).
    pub fn from_bytes(
        name: impl Into<String>,
        bytes: impl Into<Vec<u8>>,
        options: &ReadOptions,
    ) -> Result<Table> {
        Table::new(name.into(), Source::Bytes(bytes.into().into()), options, BLOCK)
    }

    pub(crate) fn new(
        name: String,
        source: Source,
        options: &ReadOptions,
        block: usize,
    ) -> Result<Table> {
        let mut head = Vec::new();
        let got = source.open(&name)?.append(&mut head, HEAD)?;
        let whole = got < HEAD;
        let head = head.strip_prefix(BOM).unwrap_or(&head);
        refuse(&name, head)?;
        let dialect = detect(&name, head, whole, options)?;
        let mut inner = Inner {
            types: first_types(head, whole, &dialect, options),
            name,
            source,
            dialect,
            options: options.clone(),
            rows: 0,
            stats: Vec::new(),
            columns: Vec::new(),
            notes: Vec::new(),
            blocks: None,
            block,
        };
        // A second pass is needed when text appears late in a column that began with numbers.
        if !inner.scan()? && !inner.scan()? {
            return Err(changed(&inner.name));
        }
        if inner.rows == 0 {
            let what = if inner.dialect.header { "a line of names and " } else { "" };
            return Err(Error::new(Code::Data, format!("{} has {what}no rows", inner.name))
                .line("columns", inner.dialect.names.join(", "))
                .help("if the first line is data, say that there is no header"));
        }
        if let Some(facts) = &inner.dialect.facts
            && facts.rows != inner.rows as u64
        {
            inner.notes.push(format!(
                "the first line promises {} rows, the file has {}",
                facts.rows, inner.rows
            ));
        }
        Ok(Table(Arc::new(inner)))
    }

    /// The file, or the name that was given.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Number of rows, without the header.
    pub fn rows(&self) -> usize {
        self.0.rows
    }

    /// The columns in the order of the file.
    pub fn columns(&self) -> &[ColumnInfo] {
        &self.0.columns
    }

    /// The names of the columns.
    pub fn names(&self) -> Vec<&str> {
        self.0.columns.iter().map(ColumnInfo::name).collect()
    }

    /// Sentences about how the file was understood.
    pub fn notes(&self) -> &[String] {
        &self.0.notes
    }

    /// Whether the names of the columns come from the file.
    pub fn has_header(&self) -> bool {
        self.0.dialect.header
    }

    /// Whether the cells are not kept in memory, and the file is read again for each pass.
    pub fn is_streamed(&self) -> bool {
        self.0.blocks.is_none()
    }

    /// The cells of a column as they are written, without spaces and quotes around; `None` for
    /// missing ones. For columns that are carried along, such as the names of rows.
    ///
    /// ```
    /// use gradus_data::table::{ReadOptions, Table};
    ///
    /// let table = Table::from_bytes("t", "id,x\n007,1\n008,2\n", &ReadOptions::new())?;
    /// assert_eq!(table.texts("id")?, [Some("007".to_owned()), Some("008".to_owned())]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Code::Config`] when there is no such column, [`Code::Data`] when the file changed.
    pub fn texts(&self, column: &str) -> Result<Vec<Option<String>>> {
        let at = find(self, column, false)?;
        let mut types = self.0.types.clone();
        if let Some(kind) = types.get_mut(at) {
            *kind = Type::Text;
        }
        let mut texts = Vec::with_capacity(self.rows());
        for block in self.blocks(&types)? {
            let block = block?;
            let Some(Cells::Words(words)) = block.cells.get(at) else {
                return Err(Error::internal("a column changed its type"));
            };
            let list: Vec<&str> = words.iter().collect();
            let text = |&code: &u32| list.get(code as usize).map(|&word| word.to_owned());
            texts.extend(words.codes.iter().map(text));
        }
        Ok(texts)
    }

    pub(crate) fn options(&self) -> &ReadOptions {
        &self.0.options
    }

    pub(crate) fn dialect(&self) -> &Dialect {
        &self.0.dialect
    }

    pub(crate) fn stats(&self) -> &[Stats] {
        &self.0.stats
    }

    pub(crate) fn types(&self) -> &[Type] {
        &self.0.types
    }

    /// The blocks in order, with the columns as these types. A column that is asked for as numbers
    /// and has text gives [`Cells::Conflict`].
    pub(crate) fn blocks(&self, types: &[Type]) -> Result<Blocks> {
        match &self.0.blocks {
            Some(blocks) if types == self.0.types => Ok(Blocks::Memory(blocks.clone().into_iter())),
            _ => {
                let left = self.0.rows;
                let pump = Pump::start(self.0.job(types.to_vec()))?;
                Ok(Blocks::Again { pump, left, name: self.0.name.clone() })
            }
        }
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({}: {} rows, {} columns)", self.name(), self.rows(), self.columns().len())
    }
}

impl Inner {
    fn job(&self, types: Vec<Type>) -> Job {
        Job {
            name: self.name.clone(),
            source: self.source.clone(),
            dialect: self.dialect.clone(),
            types,
            missing: Missing::new(&self.options),
            block: self.block,
        }
    }

    /// Goes over the whole file; `false` when a column of numbers turned out to be text, so that
    /// it has to be done again.
    fn scan(&mut self) -> Result<bool> {
        let limit = match self.options.storage {
            Storage::Auto => usize::try_from(self.options.memory_limit).unwrap_or(usize::MAX),
            Storage::Memory => usize::MAX,
            Storage::Disk => 0,
        };
        let mut stats = vec![Stats::new(self.dialect.decimal_comma); self.types.len()];
        let (mut rows, mut bytes, mut blank, mut fits) = (0, 0usize, 0, true);
        let mut blocks = Some(Vec::new());
        for block in Pump::start(self.job(self.types.clone()))? {
            let block = Arc::new(block?);
            rows += block.rows;
            blank += block.blank_lines;
            for ((cells, stats), kind) in block.cells.iter().zip(&mut stats).zip(&mut self.types) {
                if let Cells::Conflict = cells {
                    *kind = Type::Text;
                    fits = false;
                }
                stats.add(cells, block.first_row);
            }
            bytes = bytes.saturating_add(block.bytes());
            if bytes > limit || !fits {
                blocks = None;
            }
            if let Some(blocks) = &mut blocks {
                blocks.push(block);
            }
        }
        let infos = stats.iter().zip(&self.dialect.names).map(|(stats, name)| stats.info(name));
        self.columns = infos.collect();
        self.notes = self.dialect.notes.clone();
        if blank > 0 {
            self.notes.push(format!(
                "{blank} blank {} skipped",
                if blank == 1 { "line was" } else { "lines were" }
            ));
        }
        (self.stats, self.rows, self.blocks) = (stats, rows, blocks);
        Ok(fits)
    }
}

/// Types by the first rows; columns without a value there are taken for numbers.
fn first_types(head: &[u8], whole: bool, dialect: &Dialect, options: &ReadOptions) -> Vec<Type> {
    let types = vec![Type::Number; dialect.names.len()];
    let end = if whole { head.len() } else { last_record_end(head, dialect.cut).0.unwrap_or(0) };
    let mut fields = crate::table::fields::Fields::new(head.get(..end).unwrap_or(&[]), dialect.cut);
    if dialect.skip_first && !fields.skip_blank_lines().is_end {
        while fields.next_field().is_ok_and(|(_, ended)| !ended) {}
    }
    match parse(fields.rest(), dialect, &types, &Missing::new(options)) {
        Ok(block) => {
            let kind = |cells: &Cells| match cells {
                Cells::Conflict => Type::Text,
                _ => Type::Number,
            };
            block.cells.iter().map(kind).collect()
        }
        // Whatever is wrong is told when all is read.
        Err(_) => types,
    }
}

fn changed(name: &str) -> Error {
    Error::new(Code::Data, format!("{name} changed while it was read"))
        .help("copy the file first, or wait until it is written")
}

/// The blocks of a table, kept or parsed again.
pub(crate) enum Blocks {
    Memory(std::vec::IntoIter<Arc<Block>>),
    Again { pump: Pump, left: usize, name: String },
}

impl Iterator for Blocks {
    type Item = Result<Arc<Block>>;

    fn next(&mut self) -> Option<Result<Arc<Block>>> {
        match self {
            Blocks::Memory(blocks) => blocks.next().map(Ok),
            Blocks::Again { pump, left, name } => match pump.next() {
                Some(Ok(block)) if block.rows <= *left => {
                    *left -= block.rows;
                    Some(Ok(Arc::new(block)))
                }
                Some(Ok(_)) => Some(Err(changed(name))),
                None if *left > 0 => {
                    *left = 0;
                    Some(Err(changed(name)))
                }
                other => other.map(|block| block.map(Arc::new)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Parts, TaskOptions};

    /// Everything that a table gives, as text, when it is cut into blocks of some size.
    fn all(text: &str, block: usize, storage: Storage) -> Result<String> {
        let options = ReadOptions::new().storage(storage);
        let source = Source::Bytes(text.as_bytes().to_vec().into());
        let table = Table::new("t".into(), source, &options, block)?;
        let mut said = format!("{:?} {:?} {}", table.columns(), table.notes(), table.rows());
        for name in table.names() {
            said += &format!("{:?}", table.texts(name)?);
        }
        let prepared =
            table.task(&TaskOptions::new())?.prepare(Parts { valid: 0.2, test: 0.2 }, 3)?;
        let (x, y) = prepared.train.arrays()?;
        said += &format!("{:?} {:?} {:?}", x.to_f64(), y.to_f64(), prepared.notes);
        Ok(said + &prepared.encoder.to_json()?)
    }

    #[test]
    fn where_a_file_is_cut_changes_nothing() -> Result<()> {
        let mut text = String::from("\u{feff}a,\"b\n,\",c,d,y\r\n");
        for i in 0..200usize {
            let b = ["\"x, \"\"y\"\"\"", "\"two\nlines\"", "z", ""][i % 4];
            // Text late in a column that begins with numbers.
            let d = if i > 150 { format!("t{}", i % 5) } else { (i % 5).to_string() };
            text += &format!("{}.25,{b},{},{d},{}\r\n", i * 7 % 31, i % 3, i * i % 57);
            if i % 40 == 0 {
                text += "\r\n";
            }
        }
        let expected = all(&text, BLOCK, Storage::Memory)?;
        assert!(expected.contains("5 blank lines"));
        for block in [1, 2, 3, 7, 16, 61, 100, 1000] {
            for storage in [Storage::Memory, Storage::Disk] {
                assert_eq!(all(&text, block, storage)?, expected, "{block}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_fault_is_told_with_the_same_place_however_it_is_cut() {
        for text in
            ["a,b\n1,2\n3,\"4\n\n5\"\n6,7,8\n", "a,b\n1,2\n\n3,\"4\n5,6\n", "a,b\n1,2\n3,\"4\"5\n"]
        {
            let of = |block| all(text, block, Storage::Memory).err().map(|e| e.to_string());
            let expected = of(BLOCK);
            assert!(expected.is_some());
            (1..20).for_each(|block| assert_eq!(of(block), expected, "{block} {text:?}"));
        }
    }

    #[test]
    fn an_endless_row_is_an_error_and_not_endless_memory() {
        struct Endless(usize);
        impl Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                let start = b"a,b\n1,\"";
                if self.0 == 0 {
                    self.0 = 1;
                    buffer.get_mut(..start.len()).unwrap_or(&mut []).copy_from_slice(start);
                    return Ok(start.len());
                }
                self.0 += buffer.len();
                buffer.fill(b'x');
                Ok(if self.0 > 80 << 20 { 0 } else { buffer.len() })
            }
        }
        let read = Table::from_reader("endless", Endless(0), &ReadOptions::new());
        let said = read.err().map(|e| e.to_string()).unwrap_or_default();
        assert!(said.contains("line 2: a quote is opened and never closed"), "{said}");
    }
}
