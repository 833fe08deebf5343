//! Pictures of curves, beside the page.

use plotters::prelude::*;

use crate::report::{folder, grouped};

#[derive(Debug, Clone)]
pub struct Line {
    pub name: &'static str,
    pub points: Vec<(f64, f64)>,
}

/// Curves over a logarithmic axis.
pub struct Picture {
    pub file: &'static str,
    pub title: &'static str,
    pub x: &'static str,
    pub y: &'static str,
    pub lines: Vec<Line>,
}

/// Told apart by everyone (Okabe and Ito's).
const COLOURS: [RGBColor; 4] =
    [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115), RGBColor(204, 121, 167)];

impl Picture {
    /// How the page shows it, with the figures for those who do not see it.
    pub fn markdown(&self) -> String {
        let lines = self.lines.iter().map(|line| {
            let points: Vec<_> =
                line.points.iter().map(|(x, y)| format!("{} at {}", grouped(*y), grouped(*x))).collect();
            format!("- {}: {}\n", line.name, points.join(", "))
        });
        let lines: String = lines.collect();
        format!("![{}: {} by {}](benchmarks/{})\n\n{lines}", self.title, self.y, self.x, self.file)
    }

    /// Draws it where the page looks for it.
    pub fn draw(&self) {
        let folder = folder().join("benchmarks");
        std::fs::create_dir_all(&folder).expect("the folder of the page can be written to");
        let mut svg = String::new();
        self.draw_into(&mut svg).expect("a picture in memory has room");
        std::fs::write(folder.join(self.file), svg).expect("the folder of the page can be written to");
    }

    fn draw_into(&self, svg: &mut String) -> Result<(), Box<dyn std::error::Error + '_>> {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let bound = |of: fn(&(f64, f64)) -> f64, better: fn(f64, f64) -> f64| points().map(of).reduce(better);
        let left = bound(|point| point.0, f64::min).unwrap_or(1.0) / 1.3;
        let right = bound(|point| point.0, f64::max).unwrap_or(10.0) * 1.3;
        // With room for the names above the curves.
        let high = bound(|point| point.1, f64::max).unwrap_or(1.0) * 1.4;
        let area = SVGBackend::with_string(svg, (720, 420)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(72)
            .build_cartesian_2d((left..right).log_scale(), 0.0..high)?;
        let number = |figure: &f64| grouped(*figure);
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .y_labels(6)
            .x_label_formatter(&number)
            .y_label_formatter(&number)
            .light_line_style(WHITE)
            .draw()?;
        for (line, colour) in self.lines.iter().zip(COLOURS) {
            let style = colour.stroke_width(2);
            chart
                .draw_series(LineSeries::new(line.points.iter().copied(), style).point_size(3))?
                .label(line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .draw()?;
        area.present()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_enough_to_be_kept_with_the_sources() {
        let points = (1..20).map(|nth| (f64::from(nth), f64::from(nth * nth)));
        let line = |name| Line { name, points: points.clone().collect() };
        let lines = vec![line("first line"), line("second line")];
        let picture = Picture { file: "none", title: "Title", x: "x", y: "y", lines };
        let mut svg = String::new();
        picture.draw_into(&mut svg).unwrap();
        for text in ["<svg", "Title", "first line", "second line"] {
            assert!(svg.contains(text), "{text} in {svg}");
        }
        assert!(svg.len() < 60_000, "{}", svg.len());
    }
}
