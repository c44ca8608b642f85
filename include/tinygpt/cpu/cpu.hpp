// The CPU backend: float32, threads, vector units; no allocation inside a training step after the first.
#pragma once

#include <tinygpt/cpu/activation.hpp>  // defines: activation, activation_backward
#include <tinygpt/cpu/attention.hpp>   // defines: attention, attention_backward, decode_attention
#include <tinygpt/cpu/context.hpp>     // defines: cpu::Context
#include <tinygpt/cpu/embedding.hpp>   // defines: embed, embed_backward
#include <tinygpt/cpu/linear.hpp>      // defines: linear, linear_activation and their backward
#include <tinygpt/cpu/loss.hpp>        // defines: loss_head, loss_head_gradient
#include <tinygpt/cpu/memory.hpp>      // defines: train_workspace, generate_workspace
#include <tinygpt/cpu/norm.hpp>        // defines: norm, residual_norm, residual_norm_backward
#include <tinygpt/cpu/optimizer.hpp>   // defines: global_norm, adamw
#include <tinygpt/cpu/qkv.hpp>         // defines: qkv, qkv_backward
#include <tinygpt/cpu/transfer.hpp>    // defines: allocate, copy_in, copy_out, fill_zero, convert, replay
