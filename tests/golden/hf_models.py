#!/usr/bin/env python3
"""Makes tests/golden/hf: small models of Hugging Face transformers' own, and the logits that it computes with them.

    hf_models.py DIR      needs torch, transformers and safetensors; expected.json names their versions
"""
import json
import os
import pathlib
import random
import shutil
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import safetensors
import torch
import transformers

GPT2 = dict(n_layer=1, n_embd=32, n_head=1, n_positions=80, vocab_size=131, activation_function="gelu_new",
            bos_token_id=None, eos_token_id=None)
LLAMA = dict(num_hidden_layers=2, hidden_size=36, num_attention_heads=3, num_key_value_heads=1, head_dim=20,
             intermediate_size=96, max_position_embeddings=80, vocab_size=101, tie_word_embeddings=True,
             bos_token_id=None, eos_token_id=None)
QWEN3 = dict(num_hidden_layers=3, hidden_size=24, num_attention_heads=2, num_key_value_heads=2, head_dim=12,
             intermediate_size=64, max_position_embeddings=80, vocab_size=99, tie_word_embeddings=True,
             rms_norm_eps=1e-6, bos_token_id=None, eos_token_id=None)
# Llama 2 and 3 have this epsilon.
LLAMA_EPSILON = dict(num_hidden_layers=1, hidden_size=24, num_attention_heads=2, num_key_value_heads=1,
                     intermediate_size=64, max_position_embeddings=80, vocab_size=60, tie_word_embeddings=True,
                     rms_norm_eps=1e-5, bos_token_id=None, eos_token_id=None)
# In the three ways in which people save them: as one file, in shards, in 16 bits.
MODELS = {"gpt2_some_biases": (transformers.GPT2Config, GPT2, "5GB", torch.float32),
          "llama_wide_heads": (transformers.LlamaConfig, LLAMA, "60KB", torch.float32),
          "llama_epsilon": (transformers.LlamaConfig, LLAMA_EPSILON, "5GB", torch.float32),
          "qwen3_full": (transformers.Qwen3Config, QWEN3, "5GB", torch.bfloat16)}


def main():
    top = pathlib.Path(sys.argv[1])
    for name, (kind, options, shard, dtype) in MODELS.items():
        torch.manual_seed(1)
        model = transformers.AutoModelForCausalLM.from_config(kind(**options), attn_implementation="eager").eval()
        with torch.no_grad():
            for parameter, tensor in model.named_parameters():
                if parameter.endswith("c_proj.bias") and "attn" in parameter:
                    tensor.zero_()  # the type there has none
                elif tensor.dim() < 2:
                    tensor += 0.1 * torch.randn_like(tensor)
                else:
                    tensor.normal_(0, 0.5 / tensor.shape[-1] ** 0.5)
        model = model.to(dtype)
        shutil.rmtree(top / name, ignore_errors=True)
        model.save_pretrained(top / name, max_shard_size=shard)
        (top / name / "generation_config.json").unlink(missing_ok=True)
        rng = random.Random(3)
        ids = [rng.randrange(model.config.vocab_size) for _ in range(6)]
        # Read again, as RoPE's frequencies were rounded to 16 bits with the weights.
        again = transformers.AutoModelForCausalLM.from_pretrained(top / name, dtype=torch.float32,
                                                                  attn_implementation="eager").eval()
        with torch.no_grad():
            logits = again(torch.tensor([ids])).logits[0]
        expected = {"made_by": "tests/golden/hf_models.py", "transformers": transformers.__version__,
                    "torch": torch.__version__, "safetensors": safetensors.__version__, "ids": ids,
                    "logits": [[round(x, 6) for x in row] for row in logits.tolist()]}
        (top / name / "expected.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    main()
