//! Reading report.md and report.html.

/// What lies between `start` and the next `end`, at each `start`.
pub fn between<'a>(text: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    let parts = text.split(start).skip(1);
    parts.map(|part| part.split(end).next().unwrap_or_default()).collect()
}

/// The cells of the line of report.md with this figure of a row; report.html must have them too.
pub fn line<'a>([markdown, html]: &'a [String; 2], row: &str, figure: &str) -> Vec<&'a str> {
    let (name, figure) = (format!("(`{row}`) |"), format!(" | {figure} | "));
    let mut lines = markdown.lines().skip_while(|line| !line.contains(&name)).take(2);
    let line = lines.find(|line| line.contains(&figure)).expect("the row");
    let line = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |"));
    let cells: Vec<&str> = line.expect("a line of a table").split(" | ").collect();
    let in_html = cells
        .join("</td><td>")
        .replace("; ", "<br/>")
        .replace(&format!(" (`{row}`)"), "");
    assert!(html.contains(&format!("<tr><td>{in_html}</td></tr>")), "{in_html}");
    cells
}

/// What report.html says of the runs of a row.
pub fn section<'a>(html: &'a str, row: &str) -> &'a str {
    between(html, &format!("<h3 id=\"{row}\">"), "<h3 ")[0]
}

/// The cells of the tables of one epoch: the figures, and the confusion matrix.
pub fn tables<'a>(section: &'a str, run: &str, epoch: &str) -> Vec<Vec<Vec<&'a str>>> {
    let run = between(section, &format!("<h4>{run}</h4>"), "<h4>")[0];
    let block = between(run, &format!("<p>{epoch}</p>"), "</div>")[0];
    let cell = |cell: &'a str| cell.rsplit('>').next().unwrap_or_default();
    let row = |row: &'a str| {
        let mut cells: Vec<&str> = row.split("</t").map(cell).collect();
        cells.pop();
        cells
    };
    let tables = between(block, "<table", "</table>").into_iter();
    tables
        .map(|table| between(table, "<tr>", "</tr>").into_iter().map(row).collect())
        .collect()
}

fn number(text: &str) -> f64 {
    text.parse().expect("a number")
}

/// From places to values, as the first and the last line of the grid across this axis say.
fn scale(svg: &str, axis: char) -> impl Fn(f64) -> f64 {
    let at = |line: &str, end: u8| number(between(line, &format!(" {axis}{end}=\""), "\"")[0]);
    let ticks: Vec<(f64, f64)> = between(svg, "<line class=\"grid\"", "</text>")
        .into_iter()
        .filter(|line| at(line, 1) == at(line, 2))
        .map(|line| (at(line, 1), number(line.rsplit('>').next().unwrap_or_default())))
        .collect();
    let ((from, low), (to, high)) = (ticks[0], ticks[ticks.len() - 1]);
    move |place| low + (place - from) / (to - from) * (high - low)
}

/// The curves of a picture, read off its axes.
pub fn curves(svg: &str) -> Vec<(&str, Vec<(f64, f64)>)> {
    let (epoch, value) = (scale(svg, 'x'), scale(svg, 'y'));
    between(svg, "<polyline", "</polyline>")
        .into_iter()
        .map(|line| {
            let points = between(line, " points=\"", "\"")[0].split(' ');
            let points: Vec<(f64, f64)> = points
                .map(|point| point.split_once(',').expect("a point"))
                .map(|(x, y)| (epoch(number(x)), value(number(y))))
                .collect();
            (between(line, "<title>", "</title>")[0], points)
        })
        .collect()
}
