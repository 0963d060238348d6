#include "tests/support/forked.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace larder::tests {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(ForkedTest, RunsAsideAndTellsHowItEnded) {
  int changed = 0;
  const ForkedRun good = RunForked(
      [&] {
        changed = 1;
        std::printf("to stdout, ");
        std::fflush(stdout);
        std::fprintf(stderr, "to stderr");
        return true;
      },
      -1);
  EXPECT_TRUE(good.passed);
  EXPECT_EQ(good.output, "to stdout, to stderr");
  EXPECT_EQ(changed, 0);

  const ForkedRun bad = RunForked([] { return false; }, -1);
  EXPECT_FALSE(bad.passed);
  EXPECT_EQ(bad.end, "exit code 1");
  EXPECT_THAT(bad.output, IsEmpty());
}

TEST(ForkedTest, SurvivesWhatAborts) {
  const ForkedRun run = RunForked(
      []() -> bool {
        std::fprintf(stderr, "about to die");
        raise(SIGKILL);
        return true;
      },
      -1);
  EXPECT_FALSE(run.passed);
  EXPECT_EQ(run.end, "signal 9");
  EXPECT_EQ(run.output, "about to die");
}

TEST(ForkedTest, AFailureThereIsToldAndNotCountedHere) {
  const ForkedRun run = RunForked(
      [] {
        EXPECT_EQ(1, 2) << "as planned";
        return !::testing::Test::HasFailure();
      },
      -1);
  EXPECT_FALSE(run.passed);
  EXPECT_THAT(run.output, HasSubstr("as planned"));
}

TEST(ForkedTest, WhatHangsIsKilled) {
  const ForkedRun run = RunForked(
      []() -> bool {
        for (;;) pause();
      },
      10);
  EXPECT_FALSE(run.passed);
  EXPECT_EQ(run.end, "nothing for 10 ms");
}

TEST(ForkedTest, KeepsTheBeginningOfALotOfOutput) {
  const ForkedRun run = RunForked(
      [] {
        const std::string line(1000, 'x');
        for (int i = 0; i < 1000; ++i) std::puts(line.c_str());
        return true;
      },
      -1);
  EXPECT_TRUE(run.passed);
  EXPECT_EQ(run.output.size(), ForkedRun::kOutputBytesMax);
}

}  // namespace
}  // namespace larder::tests
