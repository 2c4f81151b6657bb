# A role that may read SageMaker's images and nothing else, for the identities in `principals`: see deploy/README.md.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "principals" {
  description = "ARNs of the accounts, roles or users that may assume the role."
  type        = list(string)

  validation {
    condition     = length(var.principals) > 0 && !contains(var.principals, "*")
    error_message = "Name at least one principal, and never everybody."
  }
}

variable "external_id" {
  description = "The secret that assuming the role requires: accounts[].external_id in config.yaml."
  type        = string
  sensitive   = true

  validation {
    condition     = can(regex("^[A-Za-z0-9_+=,.@:/-]{2,1224}$", var.external_id))
    error_message = "An external id has 2 to 1224 letters, digits and _+=,.@:/-"
  }
}

variable "details" {
  description = "Whether the role may read aliases, which `details: true` in config.yaml asks for."
  type        = bool
  default     = false
}

variable "name" {
  description = "Name of the role and of its policy."
  type        = string
  default     = "image-history"
}

data "aws_partition" "current" {}

data "aws_caller_identity" "current" {}

data "aws_iam_policy_document" "read" {
  statement {
    sid       = "ListImages"
    effect    = "Allow"
    actions   = ["sagemaker:ListImages"]
    resources = ["*"] # the operation cannot be restricted to a resource
  }

  statement {
    sid     = "ReadImages"
    effect  = "Allow"
    actions = ["sagemaker:DescribeImage", "sagemaker:ListImageVersions"]
    resources = [
      "arn:${data.aws_partition.current.partition}:sagemaker:*:${data.aws_caller_identity.current.account_id}:image/*",
    ]
  }

  statement {
    sid     = "ReadVersions"
    effect  = "Allow"
    actions = ["sagemaker:DescribeImageVersion"]
    resources = [
      "arn:${data.aws_partition.current.partition}:sagemaker:*:${data.aws_caller_identity.current.account_id}:image-version/*",
    ]
  }

  dynamic "statement" {
    for_each = var.details ? ["ReadAliases"] : []

    content {
      sid     = "ReadAliases"
      effect  = "Allow"
      actions = ["sagemaker:ListAliases"]
      resources = [ # IAM checks both
        "arn:${data.aws_partition.current.partition}:sagemaker:*:${data.aws_caller_identity.current.account_id}:image/*",
        "arn:${data.aws_partition.current.partition}:sagemaker:*:${data.aws_caller_identity.current.account_id}:image-version/*",
      ]
    }
  }
}

data "aws_iam_policy_document" "trust" {
  statement {
    sid     = "AssumeWithExternalId"
    effect  = "Allow"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "AWS"
      identifiers = var.principals
    }

    condition {
      test     = "StringEquals"
      variable = "sts:ExternalId"
      values   = [var.external_id]
    }
  }
}

resource "aws_iam_role" "image_history" {
  name                 = var.name
  description          = "Reads SageMaker's image versions for image-history"
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  max_session_duration = 3600
}

resource "aws_iam_role_policy" "read" {
  name   = var.name
  role   = aws_iam_role.image_history.id
  policy = data.aws_iam_policy_document.read.json
}

output "role_arn" {
  description = "What accounts[].role_arn in config.yaml is to be."
  value       = aws_iam_role.image_history.arn
}
