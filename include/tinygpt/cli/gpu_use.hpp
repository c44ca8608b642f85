// What a graphics card does while it trains: asked of its driver now and then, and the share of its peak that is used.
#pragma once

#include <cmath>
#include <optional>
#include <string>

#include <tinygpt/cli/model.hpp>
#include <tinygpt/cli/nvml.hpp>
#include <tinygpt/cli/terminal.hpp>

namespace tinygpt::cli {

/// A card at one moment. What is not known is empty.
struct GpuUse {
  CardSample sample;
  std::optional<double> mfu;  ///< model FLOPs utilisation: Chowdhery et al. 2022 (arXiv:2204.02311) appendix B

  /// "98 % busy, 61 C, 412 W, MFU 45.1 %"
  std::string text() const {
    std::string text;
    const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
    if (sample.utilisation) add(std::to_string(*sample.utilisation) + " % busy");
    if (sample.temperature) add(std::to_string(*sample.temperature) + " C");
    if (sample.power) add(format("%.0f W", *sample.power));
    if (mfu) add(format("MFU %.1f %%", 100 * *mfu));
    return text;
  }

  /// ",\"gpu_utilisation\":98,...": members to append to a JSON object.
  std::string members() const {
    std::string text;
    if (sample.utilisation) text += ",\"gpu_utilisation\":" + std::to_string(*sample.utilisation);
    if (sample.memory_used) text += ",\"gpu_memory_bytes\":" + std::to_string(*sample.memory_used);
    if (sample.temperature) text += ",\"gpu_temperature\":" + std::to_string(*sample.temperature);
    if (sample.power) text += ",\"gpu_watts\":" + format("%.1f", *sample.power);
    if (mfu) text += ",\"mfu\":" + format("%.4f", *mfu);
    return text;
  }
};

/// Watches the card on which a model trains.
class GpuWatch {
 public:
  /// CUDA and the driver may count cards in another order, so the card is found by its name: with several of one name,
  /// the first of them.
  GpuWatch(const Gpu& gpu, double flops_per_token) : peak_(gpu.peak_flops), flops_per_token_(flops_per_token) {
    for (const Card& card : nvml_.cards()) {
      if (!card_ && card.name == gpu.name) card_ = card;
    }
  }

  GpuUse now(double tokens_per_second) const {
    GpuUse use;
    if (card_) use.sample = nvml_.sample(*card_);
    if (peak_ > 0) use.mfu = tokens_per_second * flops_per_token_ / peak_;
    return use;
  }

 private:
  Nvml nvml_;
  std::optional<Card> card_;
  double peak_, flops_per_token_;
};

}  // namespace tinygpt::cli
