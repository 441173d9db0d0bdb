#include "benchmarks/evaluation/csv.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace seer::evaluation {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// All fields of all records, or the message.
std::string Read(std::string_view csv, std::vector<std::string>* fields) {
  auto reader = CsvReader::Open("f.csv", csv);
  if (!reader.ok()) return std::string(reader.status().message());
  while (true) {
    auto more = reader->Next();
    if (!more.ok()) return std::string(more.status().message());
    if (!*more) return "";
    for (std::size_t i = 0; i < reader->header().size(); ++i) fields->push_back(reader->field(i));
  }
}

TEST(Csv, ReadsPlainAndQuotedFields) {
  std::vector<std::string> fields;
  EXPECT_EQ(Read("a,b\n1,2\r\n\"x,y\",\"say \"\"hi\"\"\"\n,\"two\nlines\"", &fields), "");
  EXPECT_THAT(fields, ElementsAre("1", "2", "x,y", "say \"hi\"", "", "two\nlines"));
}

TEST(Csv, SaysWhereItIsWrong) {
  struct Case {
    const char* csv;
    const char* message;
  };
  for (const Case& c : {
           Case{"", "f.csv: line 1, column 1: the file is empty"},
           Case{"a,a\n", "line 1, column 3 (a): stands here twice"},
           Case{"a,,b\n", "line 1, column 3: a column without a name"},
           Case{"a,b\n1,2\n3\n", "line 3, column 1: 1 fields, but the header has 2"},
           Case{"a,b\n1,2,3\n", "line 2, column 1: 3 fields"},
           Case{"a,b\n\n", "line 2, column 1: 1 fields"},
           Case{"a,b\n1,\"2\n", "line 2, column 3: a quote that does not end"},
           Case{"a,b\n1,\"2\"3\n", "line 2, column 6: text behind a quoted field"},
           Case{"a,b\n1,2\"3\n", "line 2, column 4: a quote within"},
           Case{"a,b\n\"1\n2\",3\n4,\x01\n", "line 4, column 3: a control character"},
       }) {
    std::vector<std::string> fields;
    EXPECT_THAT(Read(c.csv, &fields), HasSubstr(c.message)) << c.csv;
  }
}

TEST(Csv, ValuesAreWholeAndInRange) {
  auto reader = CsvReader::Open("f.csv", "a,b,c\n12,0.5,1\n1.5,nan,2\n99,2,\n").value();
  ASSERT_TRUE(*reader.Next());
  EXPECT_EQ(*reader.Integer(0, 0, 20), 12);
  EXPECT_EQ(*reader.Number(1, 0, 1), 0.5);
  EXPECT_EQ(*reader.Flag(2), true);
  ASSERT_TRUE(*reader.Next());
  EXPECT_THAT(std::string(reader.Integer(0, 0, 20).status().message()),
              HasSubstr("line 3, column 1 (a): '1.5' is not a whole number"));
  EXPECT_THAT(std::string(reader.Number(1, 0, 1).status().message()),
              HasSubstr("line 3, column 5 (b): 'nan' is not a number"));
  EXPECT_THAT(std::string(reader.Flag(2).status().message()),
              HasSubstr("line 3, column 9 (c): '2' is neither 0 nor 1"));
  ASSERT_TRUE(*reader.Next());
  EXPECT_THAT(std::string(reader.Integer(0, 0, 20).status().message()), HasSubstr("0 to 20"));
  EXPECT_THAT(std::string(reader.Number(1, 0, 1).status().message()), HasSubstr("0 to 1"));
  EXPECT_FALSE(reader.Integer(2, 0, 1).ok());
}

TEST(Csv, MissingColumnsAreNamedWithThoseThatAreThere) {
  auto reader = CsvReader::Open("f.csv", "a,b\n").value();
  EXPECT_EQ(*reader.Require("b"), 1u);
  EXPECT_THAT(std::string(reader.Require("c").status().message()),
              HasSubstr("no column 'c'; there are: a b"));
}

TEST(Csv, WrittenFieldsReadTheSame) {
  const std::string text = "a \"quoted\", and\nbroken field";
  std::vector<std::string> fields;
  EXPECT_EQ(Read("x,y\n" + CsvField(text) + "," + CsvField("plain") + "\n", &fields), "");
  EXPECT_THAT(fields, ElementsAre(text, "plain"));
}

TEST(Csv, FilesThatAreNotThereAreNamed) {
  EXPECT_THAT(std::string(ReadFile("/nowhere/x.csv").status().message()),
              HasSubstr("/nowhere/x.csv"));
  EXPECT_FALSE(WriteFile("/nowhere/x.csv", "x").ok());
}

}  // namespace
}  // namespace seer::evaluation
