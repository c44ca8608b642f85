// What a program reads from disk and writes to it: model directories, checkpoints, tokenizers and data sets.
// It brings a JSON parser, which takes three times as long to compile as all of tinygpt.hpp; so it is a header apart.
#pragma once

#include <tinygpt/tinygpt.hpp>

#include <tinygpt/io/checkpoint.hpp>       // defines: load_model, load_trainer_state, load_moments
#include <tinygpt/io/dataset_shards.hpp>   // defines: read_dataset, the TokenStreams of its splits
#include <tinygpt/io/model_directory.hpp>  // defines: write_model_directory, read_model_directory
#include <tinygpt/io/tokenizer_files.hpp>  // defines: load_tokenizer, save_tokenizer
