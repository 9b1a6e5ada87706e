from aiperf.report.csv_export import csv_text, write_csv

# One row of 120 characters is longer than a line of code may be.
# ruff: noqa: E501
EXPECTED = """\
Metric,avg,min,max,sum,p1,p5,p10,p25,p50,p75,p90,p95,p99,std,p99.9,p99.99,count,lower_bounds,bound_count,insufficient_for,relative_error
Time to First Token (ms),210,100,600,21000,120,140,160,180,200,250,300,400,500,50,,,100,,,p99 p99.9 p99.99,
Inter Token Latency (ms),12.600000000000001,6,36,1260,7.199999999999999,8.399999999999999,9.600000000000001,10.8,12,15,18,24,30,3,,,100,,,p99 p99.9 p99.99,
Request Latency (ms),1050,500,3000,105000,600,700,800,900,1000,1250,1500,2000,2500,250,,,100,avg max sum p99,1,p99 p99.9 p99.99,
Adjusted Request Latency (ms),,500,,,,,,,1001,,,,inf,,,,102,,,p99 p99.9 p99.99,
Output Sequence Length (tokens),67.2,32,192,6720,38.4,44.8,51.2,57.6,64,80,96,128,160,16,,,100,,,p99 p99.9 p99.99,
Effective Concurrency,19.5,0,20,,,,,,20,,,,,,,,,,,,

Metric,Value
Request Throughput (requests/s),20.5
Output Token Throughput (tokens/s),12345.6
Request Count,100
Error Request Count,2
Censored Request Count,1
Benchmark Duration (s),4.88
"""


def test_the_file_is_two_blocks_in_full_precision(make_summary):
    assert csv_text(make_summary()) == EXPECTED


def test_the_file_is_written(tmp_path, make_summary):
    path = tmp_path / "profile_export_aiperf.csv"
    write_csv(path, make_summary())
    assert path.read_text() == EXPECTED


def test_without_distributions_both_headers_are_there(make_summary, make_single):
    text = csv_text(make_summary(metrics={"request_count": make_single("requests", 0)}))
    assert text.splitlines()[1:] == ["", "Metric,Value", "Request Count,0"]


def test_marks_of_a_large_run_stand_behind_the_numbers(make_summary, make_distribution):
    large = make_distribution("ms", 10, lower_bounds=["p99.9"], bound_count=5, relative_error=0.0009765625)
    large.statistics |= {"count": 400_000, "p99.9": 31.5, "p99.99": 40}
    text = csv_text(make_summary(metrics={"effective_latency": large}))
    names, values = (line.split(",") for line in text.splitlines()[:2])
    row = dict(zip(names, values, strict=True))
    assert (row["p99.9"], row["p99.99"], row["count"]) == ("31.5", "40", "400000")
    assert (row["lower_bounds"], row["bound_count"]) == ("p99.9", "5")
    assert (row["insufficient_for"], row["relative_error"]) == ("", "0.0009765625")
