#include "seer/advise/alerts.h"

#include <gtest/gtest.h>

#include "tests/advise/support.h"
#include "tests/support/json.h"

namespace seer {
namespace {

using testing::Json;
using testing::Shop;

TEST(Alerts, OneForEachClassInAlarm) {
  Shop shop;
  Forecast forecast;
  forecast.tick = 17'000'000'005;
  forecast.classes = {shop.Row(shop.buy, shop.cart), shop.Row(shop.watch, shop.video, 0.1f, false)};
  ClassDiagnosis diagnosis;
  diagnosis.request_class = shop.buy;
  diagnosis.diagnosis.culprit = shop.cart;
  diagnosis.diagnosis.instance = shop.cart_1;
  diagnosis.diagnosis.cause = Cause::kStorage;
  diagnosis.diagnosis.confidence = 0.75f;
  diagnosis.diagnosis.evidence = {{Resource::kStorage, "storage delay, us per request", 900, 12}};
  AlertOptions options;
  options.generator_url = "http://seer/";
  options.labels = {{"severity", "warning"}, {"culprit", "not this"}};
  const auto json =
      Json::Parse(AlertsJson(forecast, shop.topology, absl::MakeSpan(&diagnosis, 1), options));
  ASSERT_TRUE(json);
  ASSERT_EQ(json->items.size(), 1u);
  const Json& alert = (*json)[0];
  EXPECT_EQ(alert["labels"]["alertname"].text, "SeerViolationForeseen");
  EXPECT_EQ(alert["labels"]["application"].text, "shop");
  EXPECT_EQ(alert["labels"]["request_class"].text, "buy");
  EXPECT_EQ(alert["labels"]["culprit"].text, "cart");
  EXPECT_EQ(alert["labels"]["severity"].text, "warning");
  EXPECT_EQ(alert["annotations"]["cause"].text, "storage");
  EXPECT_EQ(alert["annotations"]["instance"].text, "cart-1");
  EXPECT_EQ(alert["annotations"]["probability"].text, "0.9");
  EXPECT_EQ(alert["annotations"]["horizon_ms"].text, "300");
  // The tick's end: (17'000'000'005 + 1) * 100 ms.
  EXPECT_EQ(alert["startsAt"].text, "2023-11-14T22:13:20.600Z");
  EXPECT_EQ(alert["endsAt"].text, "2023-11-14T22:13:30.600Z");
  EXPECT_EQ(alert["generatorURL"].text, "http://seer/");
  // Every label and annotation is a string: Alertmanager takes nothing else.
  for (const char* part : {"labels", "annotations"}) {
    for (const auto& [key, value] : alert[part].members) EXPECT_TRUE(value.IsString()) << key;
  }
}

TEST(Alerts, NoAlarmIsAnEmptyList) {
  Shop shop;
  EXPECT_EQ(AlertsJson(Forecast(), shop.topology, {}), "[]");
}

TEST(Alerts, AnyNamesGiveValidJson) {
  Topology topology(1);
  const ServiceId service = topology.AddService("qu\"ote\\ \xc3\xa4 \xff\xed\xa0\x80").value();
  Forecast forecast;
  ClassForecast row;
  row.request_class = ClassId(99);
  row.alarm = true;
  row.initiators = {{service, 1.0f}};
  forecast.classes = {row};
  forecast.classes.push_back(row);
  forecast.classes.back().initiators.clear();
  forecast.classes.push_back(row);
  forecast.classes.back().initiators = {{ServiceId(), 1.0f}};
  const auto json = Json::Parse(AlertsJson(forecast, topology, {}));
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)[0]["labels"]["culprit"].text,
            "qu\"ote\\ \xc3\xa4 \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ((*json)[0]["labels"]["request_class"].text, "class 99");
  EXPECT_EQ((*json)[1]["labels"]["culprit"].text, "unknown");
  EXPECT_EQ((*json)[2]["labels"]["culprit"].text, "load");
  EXPECT_EQ((*json)[0]["startsAt"].text, "1970-01-01T00:00:00.100Z");
}

}  // namespace
}  // namespace seer
