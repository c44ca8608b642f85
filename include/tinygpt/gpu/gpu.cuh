// The CUDA backend: float32 and bf16, one GPU, a step as one graph; no allocation and no waiting within a step. Twin of
// cpu/cpu.hpp.
#pragma once

#include <tinygpt/gpu/activation.cuh>   // defines: activation, activation_backward
#include <tinygpt/gpu/attention.cuh>    // defines: attention, attention_backward, decode_attention
#include <tinygpt/gpu/context.cuh>      // defines: gpu::Context
#include <tinygpt/gpu/devices.cuh>      // defines: gpu::Device, find_device, find_devices
#include <tinygpt/gpu/elementwise.cuh>  // defines: fill_zero, convert
#include <tinygpt/gpu/embedding.cuh>    // defines: embed, embed_backward
#include <tinygpt/gpu/linear.cuh>       // defines: linear, linear_activation and their backward
#include <tinygpt/gpu/loss.cuh>         // defines: loss_head, loss_head_gradient
#include <tinygpt/gpu/memory.cuh>       // defines: train_workspace, generate_workspace
#include <tinygpt/gpu/norm.cuh>         // defines: norm, residual_norm, residual_norm_backward
#include <tinygpt/gpu/optimizer.cuh>    // defines: global_norm, adamw
#include <tinygpt/gpu/qkv.cuh>          // defines: qkv, qkv_backward
#include <tinygpt/gpu/transfer.cuh>     // defines: allocate, copy_in, copy_out, replay
