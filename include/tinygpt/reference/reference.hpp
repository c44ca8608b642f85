// The reference backend: Eigen, any scalar, the definition of correct.
#pragma once

#include <tinygpt/reference/activation.hpp>  // defines: activation, activation_backward
#include <tinygpt/reference/attention.hpp>   // defines: attention, attention_backward, decode_attention
#include <tinygpt/reference/context.hpp>     // defines: reference::Context
#include <tinygpt/reference/embedding.hpp>   // defines: embed, embed_backward
#include <tinygpt/reference/linear.hpp>      // defines: linear, linear_activation and their backward
#include <tinygpt/reference/loss.hpp>        // defines: loss_head, loss_head_gradient
#include <tinygpt/reference/norm.hpp>        // defines: norm, residual_norm, residual_norm_backward
#include <tinygpt/reference/optimizer.hpp>   // defines: global_norm, adamw
#include <tinygpt/reference/qkv.hpp>         // defines: qkv, qkv_backward
#include <tinygpt/reference/transfer.hpp>    // defines: allocate, copy_in, copy_out, fill_zero, convert, replay
