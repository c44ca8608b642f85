// tinygpt: a GPT's architecture is a type. This header has what trains and writes; io.hpp adds what is on disk.
#pragma once

#include <tinygpt/macros.hpp>  // defines: TINYGPT_VERSION

#include <tinygpt/config/options.hpp>      // defines: Layers, Embd, Heads, Ctx and the other options
#include <tinygpt/cpu/cpu.hpp>             // defines: cpu::Context and its operations
#include <tinygpt/data/token_stream.hpp>   // defines: TokenStream
#include <tinygpt/data/tokenizer.hpp>      // defines: Tokenizer
#include <tinygpt/data/write_text.hpp>     // defines: write_text, WriteOptions
#include <tinygpt/generate/generator.hpp>  // defines: Generator, SampleOptions
#include <tinygpt/generate/stop_text.hpp>  // defines: StopText
#include <tinygpt/layout/arena.hpp>        // defines: Arena
#include <tinygpt/layout/memory.hpp>       // defines: train_bytes, generate_bytes, fits, _GiB
#include <tinygpt/model/gpt.hpp>           // defines: GPT, Architecture
#include <tinygpt/ops/backend.hpp>         // defines: the contract of a backend, AdamW
#include <tinygpt/train/trainer.hpp>       // defines: Trainer, TrainOptions, StepReport
